// What is written while the user goes to the bank and comes back: authorisation URLs handed out, codes and refusals
// received.
import type { DateTime } from 'luxon'
import { acceptsCode } from '../domain/lifecycle.ts'
import type {
  Authorisation as AuthorisationRow,
  Consent as ConsentRow,
  Renewal as RenewalRow,
} from '../generated/prisma/client.ts'
import type { Secret } from '../secret.ts'
import { authorisationRow, openCell, sealCell, stateHash } from './authorisation-row.ts'
import type { Database, Transaction } from './database.ts'
import { appendEvent } from './events.ts'
import { lockAuthorisation, lockConsent, lockRenewal } from './locks.ts'
import { moveAll, moveOne } from './moves.ts'
import type { AtTheBank, CallbackAnswer, RenewalPage, CallbackOutcome } from './port.ts'
import { toAuthorisation, toConsent, toRenewal } from './rows.ts'

export const atTheBank = (db: Database): AtTheBank => ({
  getRenewalPage: async (renewalId) => {
    const row = await db.prisma.renewal.findUnique({
      where: { id: renewalId },
      include: { consent: true, authorisations: { orderBy: { issuedAt: 'asc' } } },
    })
    return row === null ? undefined : toPage(row)
  },

  getRenewalPageByDoneId: async (doneId) => {
    const row = await db.prisma.authorisation.findUnique({
      where: { doneId },
      include: { renewal: { include: { consent: true, authorisations: { orderBy: { issuedAt: 'asc' } } } } },
    })
    return row === null ? undefined : { ...toPage(row.renewal), authorisation: toAuthorisation(row) }
  },

  // One statement chooses the authorisation URL and marks it, so that two clicks, or a click and a mail scanner, never
  // get the same URL with its state and verifier.
  handOutLink: async (renewalId, { freshAfter, routes }, now) =>
    db.prisma.$transaction(async (tx) => {
      const consent = await lockOpenCycle(tx, renewalId)
      if (consent === undefined) return undefined
      const rows = await tx.$queryRaw<{ id: string; link: string }[]>`
        UPDATE authorisations SET handed_out_at = ${now.toJSDate()}
        WHERE id = (
          SELECT id FROM authorisations
          WHERE renewal_id = ${renewalId}::uuid AND status = 'issued' AND handed_out_at IS NULL AND link IS NOT NULL
            AND issued_at > ${freshAfter.toJSDate()} AND route = ANY(${[...routes]}::text[])
          ORDER BY issued_at DESC LIMIT 1 FOR UPDATE
        )
        RETURNING id, link`
      const row = rows[0]
      if (row === undefined) return undefined
      await handedOutEvent(tx, consent.id, row.id, now)
      return openCell(db.vault, 'link', row.id, row.link)
    }),

  addHandedOut: async (renewalId, authorisation, now) =>
    db.prisma.$transaction(async (tx) => {
      const consent = await lockOpenCycle(tx, renewalId)
      if (consent === undefined) return false
      const row = authorisationRow(db.vault, { ...authorisation, consentId: consent.id, renewalId })
      // This browser gets the authorisation URL now and nobody gets it again, so the URL is not stored.
      await tx.authorisation.create({ data: { ...row, link: null, handedOutAt: now.toJSDate() } })
      await handedOutEvent(tx, consent.id, authorisation.id, now)
      return true
    }),

  receiveCode: async (state, code, now) =>
    answerState(db, state, async (tx, { consent, renewal, authorisation }) => {
      // A state is consumed by a code, never by an error. A second delivery of the same redirect finds that the code
      // has come already.
      if (authorisation.codeReceivedAt !== null) return { kind: 'already', doneId: authorisation.doneId }
      if (!acceptsCode(consent, renewal)) return { kind: 'closed', doneId: authorisation.doneId }
      const count = await moveAll(tx, 'authorisation', 'code_received', {
        from: ['issued', 'expired', 'refused', 'superseded'],
        where: { id: authorisation.id },
        data: {
          code: sealCell(db.vault, 'code', authorisation.id, code),
          codeReceivedAt: now.toJSDate(),
          nextActionAt: now.toJSDate(),
          link: null,
          bankError: null,
          errorCode: null,
          pollCount: 0,
          closedAt: null,
        },
      })
      if (count === 0) return { kind: 'closed', doneId: authorisation.doneId }
      await appendEvent(tx, consent.id, {
        type: 'authorisation.code-received',
        at: now,
        actor: 'user',
        data: { authorisation_id: authorisation.id },
      })
      return { kind: 'accepted', authorisationId: authorisation.id, doneId: authorisation.doneId }
    }),

  receiveRefusal: async (state, bankError, now) =>
    answerState(db, state, async (tx, { consent, authorisation }) => {
      if (authorisation.codeReceivedAt !== null) return { kind: 'already', doneId: authorisation.doneId }
      if (authorisation.status !== 'issued') return { kind: 'already', doneId: authorisation.doneId }
      await moveOne(tx, 'authorisation', authorisation, 'refused', {
        from: ['issued'],
        data: {
          errorCode: 'bank-refused',
          bankError,
          nextActionAt: null,
          closedAt: now.toJSDate(),
          link: null,
        },
      })
      await appendEvent(tx, consent.id, {
        type: 'authorisation.refused-at-bank',
        at: now,
        actor: 'user',
        reason: bankError,
        data: { authorisation_id: authorisation.id },
      })
      return { kind: 'accepted', authorisationId: authorisation.id, doneId: authorisation.doneId }
    }),
})

interface Locked {
  readonly consent: ConsentRow
  readonly renewal: RenewalRow
  readonly authorisation: AuthorisationRow
}

const answerState = async (
  db: Database,
  state: Secret,
  answer: (tx: Transaction, locked: Locked) => Promise<CallbackOutcome>,
): Promise<CallbackAnswer> =>
  db.prisma.$transaction(async (tx) => {
    const found = await tx.authorisation.findUnique({ where: { stateHash: stateHash(state) }, select: { id: true } })
    const locked = found === null ? undefined : await lockAuthorisation(tx, found.id)
    if (locked === undefined) return { kind: 'unknown-state' }
    const { credentialsId, userId } = locked.consent
    return { ...(await answer(tx, locked)), credentialsId, userId }
  })

const lockOpenCycle = async (tx: Transaction, renewalId: string): Promise<ConsentRow | undefined> => {
  const found = await tx.renewal.findUnique({ where: { id: renewalId }, select: { consentId: true } })
  const consent = found === null ? undefined : await lockConsent(tx, found.consentId)
  const renewal = consent === undefined ? undefined : await lockRenewal(tx, renewalId)
  return consent?.status === 'active' && renewal?.status === 'open' ? consent : undefined
}

const handedOutEvent = async (
  tx: Transaction,
  consentId: string,
  authorisationId: string,
  now: DateTime,
): Promise<void> =>
  appendEvent(tx, consentId, {
    type: 'link.handed-out',
    at: now,
    actor: 'user',
    data: { authorisation_id: authorisationId },
  })

const toPage = (row: RenewalRow & { consent: ConsentRow; authorisations: AuthorisationRow[] }): RenewalPage => ({
  renewal: toRenewal(row),
  consent: toConsent(row.consent),
  authorisations: row.authorisations.map(toAuthorisation),
})
