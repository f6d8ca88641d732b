// What operators do to a consent by hand. Every change is one transaction under the consent's lock, raises the fencing
// token and writes an event with its reason. To pause, resume, release or close a consent a second time changes
// nothing.
import { randomUUID } from 'node:crypto'
import type { Policy } from '../domain/policy.ts'
import { judgeOpening, judgeRequest, nextStepHint } from '../domain/renewal-request.ts'
import { type Route, traitsOf } from '../domain/routes.ts'
import { ruleFor } from '../domain/rules.ts'
import { tokenOrder } from '../domain/token-order.ts'
import type { Consent as ConsentRow, Prisma, Renewal as RenewalRow } from '../generated/prisma/client.ts'
import type { Administration, AdministrationAnswer, OpenCycle, Request } from './administration-port.ts'
import { isTerminal } from '../domain/lifecycle.ts'
import { changeRecord, find, insert } from './tables.ts'
import type { Database } from './database.ts'
import { appendEvent, type EventType } from './events.ts'
import { lockConsent, lockRenewal } from './locks.ts'
import { moveOne } from './moves.ts'
import { candidateOf, tokenCell } from './refresh-token.ts'
import { closeConsent, reopenConsent, reviveMessages } from './renewals.ts'
import { toConsent } from './rows.ts'
import type { Statements } from './statements.ts'

/** A second message that is requested by hand within this time is more likely a double click than intended. */
const RESEND_GUARD_HOURS = 24

const done = (detail: string): AdministrationAnswer => ({ kind: 'done', detail })
const unchanged = (detail: string): AdministrationAnswer => ({ kind: 'unchanged', detail })
const refused = (detail: string): AdministrationAnswer => ({ kind: 'refused', detail })

export const administration = (db: Database, policy: Policy): Administration => ({
  pauseConsent: async (id, request) =>
    change(db, id, async (tx, consent) => {
      if (consent.status === 'paused') return unchanged('it is paused already')
      if (consent.status !== 'active')
        return refused(`only an active consent can be paused; ${nextStepHint(toConsent(consent), request.actor)}`)
      await closeConsent(tx, consent, { as: 'paused', now: request.now })
      await record(tx, consent, 'consent.paused', request)
      return done('paused: no message is sent and no link is made; a code in hand is still exchanged')
    }),

  resumeConsent: async (id, request) =>
    change(db, id, async (tx, consent) => {
      if (consent.status === 'active') return unchanged('it is active already')
      if (consent.status !== 'paused')
        return refused(`only a paused consent can be resumed; ${nextStepHint(toConsent(consent), request.actor)}`)
      const cycle = await reactivate(tx, consent, request, `resumed by ${whose(request)}`)
      await record(tx, consent, 'consent.resumed', request, { cycle })
      return done('resumed: the next sweep does what is due')
    }),

  releaseConsent: async (id, request) =>
    change(db, id, async (tx, consent) => {
      if (consent.status === 'active') return unchanged('it is active already')
      if (consent.status !== 'quarantined' && consent.status !== 'unsupported') {
        const hint = nextStepHint(toConsent(consent), request.actor)
        return refused(`only a quarantined or unsupported consent can be released; ${hint}`)
      }
      const obstacle = consent.status === 'unsupported' ? missingRoute(consent, policy) : unreadableToken(db, consent)
      if (obstacle !== undefined) return refused(obstacle)
      const cycle = await reactivate(tx, consent, request, `released by ${whose(request)} from ${consent.status}`)
      await changeRecord(tx, 'consent', id, { mismatches: 0 })
      await record(tx, consent, 'consent.released', request, { from: consent.status, cycle })
      return done('released: the next sweep does what is due')
    }),

  closeForGood: async (id, as, request) =>
    change(db, id, async (tx, consent) => {
      if (consent.status === as) return unchanged(`it is closed as ${as} already`)
      if (isTerminal(consent)) return refused(nextStepHint(toConsent(consent), request.actor))
      await closeConsent(tx, consent, { as, now: request.now })
      await record(tx, consent, 'consent.closed', request, { as })
      return done(`closed as ${as}: nothing is sent any more, and no code is taken`)
    }),

  requestRenewal: async (id, request) =>
    change(db, id, async (tx, consent) => {
      const verdict = judgeRequest(toConsent(consent), request.now, policy, request.actor)
      if (verdict.kind === 'refused') return refused(verdict.reason)
      const current = await currentRenewal(tx, consent)
      const askedBefore = await judgeRepetition(tx, current, request)
      if (askedBefore?.kind === 'refused' || askedBefore?.kind === 'unchanged') return askedBefore
      const manualNo = askedBefore === undefined ? (current?.manualNo ?? 0) + 1 : (current?.manualNo ?? 1)
      const { keepsTo } = verdict
      const cycle = await openForRequest(tx, consent, current, { request, manualNo, keepsTo })
      await reopenConsent(tx, consent, request.now, { at: request.now, reason: 'asked for by hand' })
      await record(tx, consent, 'renewal.requested', request, {
        cycle,
        rung: `manual-${manualNo}`,
        ...(keepsTo === undefined ? {} : { route: keepsTo }),
      })
      return (
        askedBefore ??
        done(
          'requested: the next sweep makes a link and queues message ' +
            `manual-${manualNo}${keepsTo === undefined ? '' : `, by ${traitsOf(keepsTo).title}`}`,
        )
      )
    }),

  openCycle: async (id, request) =>
    db.transaction(async (tx): Promise<OpenCycle> => {
      const consent = await lockConsent(tx, id)
      if (consent === undefined) return { kind: 'refused', detail: 'there is no such consent' }
      const current = await currentRenewal(tx, consent)
      if (consent.status === 'active' && current?.status === 'open')
        return { kind: 'open', renewalId: current.id, cycle: current.cycle, opened: false }
      const verdict = judgeOpening(toConsent(consent), request.now, policy, request.actor)
      if (verdict.kind === 'refused') return { kind: 'refused', detail: verdict.reason }
      // Without a message that was asked for, the job would let it lapse at once.
      if (verdict.keepsTo !== undefined)
        return { kind: 'refused', detail: 'its grace window has ended: the user must connect the bank anew' }
      if (!request.open) return { kind: 'none' }
      const manualNo = current?.manualNo ?? 0
      const cycle = await openForRequest(tx, consent, current, { request, manualNo, keepsTo: undefined })
      // The job makes the cycle's own link and gives it its dates, as of any cycle that has been opened.
      await reopenConsent(tx, consent, request.now, { at: request.now, reason: 'its cycle was opened for a link' })
      const [opened] = await find(tx, 'renewal', { consentId: id, cycle })
      if (opened === undefined) throw new Error('a cycle that was opened and is not there')
      return { kind: 'open', renewalId: opened.id, cycle, opened: true }
    }),

  showToken: async (id, request) =>
    // The event is committed before the token is returned, so every token that was shown has its event.
    db.transaction(async (tx) => {
      const consent = await lockConsent(tx, id)
      if (consent === undefined) return undefined
      const [first] = tokenOrder(toConsent(consent))
      const candidate = first === 'candidate' ? candidateOf(db.vault, consent) : undefined
      const token = candidate ?? db.vault.open(consent.refreshToken, tokenCell(consent.id, consent.tokenVersion))
      const isCandidate = candidate !== undefined
      const shown = isCandidate ? { candidate: true } : { token_version: consent.tokenVersion }
      await record(tx, consent, 'token.shown', request, shown)
      return { token, isCandidate }
    }),
})

const change = async (
  db: Database,
  id: string,
  work: (tx: Statements, consent: ConsentRow) => Promise<AdministrationAnswer>,
): Promise<AdministrationAnswer> =>
  db.transaction(async (tx) => {
    const consent = await lockConsent(tx, id)
    return consent === undefined ? refused('there is no such consent') : work(tx, consent)
  })

const record = async (
  tx: Statements,
  consent: ConsentRow,
  type: EventType,
  request: Request,
  data: Prisma.InputJsonObject = {},
): Promise<void> =>
  appendEvent(tx, consent, {
    type,
    at: request.now,
    actor: request.actor ?? 'operator',
    reason: request.reason,
    data: { ...data, ...(request.by === undefined ? {} : { by: request.by }) },
  })

const whose = ({ actor = 'operator' }: Request): string =>
  ({ operator: 'an operator', company: 'the company', user: 'the user' })[actor]

/** What asks for another message: in the shell, or in the API. */
const resendBy = (actor: Request['actor']): string => (actor === 'company' ? '"resend": true' : '--resend')

const missingRoute = (consent: ConsentRow, policy: Policy): string | undefined => {
  const rule = ruleFor(consent.providerId, consent.country, policy)
  return rule.routes.length > 0
    ? undefined
    : `still no route of the policy can renew consents of this bank (${rule.source}): change the policy first`
}

/** Why a consent cannot be released: with a token that does not decrypt, it would be quarantined again at once. */
const unreadableToken = (db: Database, consent: ConsentRow): string | undefined => {
  try {
    db.vault.open(consent.refreshToken, tokenCell(consent.id, consent.tokenVersion))
    return undefined
  } catch {
    return (
      'its stored refresh token does not decrypt: put its key back into ENCRYPTION_KEYS, or import the consent ' +
      'with its token'
    )
  }
}

const currentRenewal = async (tx: Statements, consent: ConsentRow): Promise<RenewalRow | undefined> => {
  const [found] = await find(tx, 'renewal', { consentId: consent.id, cycle: consent.cycle })
  return found && lockRenewal(tx, found.id)
}

/**
 * Makes the consent active again; returns its cycle. A cycle that was closed together with the consent stays closed and
 * the next one begins, because there is only one renewal for each cycle of a consent.
 */
const reactivate = async (tx: Statements, consent: ConsentRow, request: Request, reason: string): Promise<number> => {
  const renewal = await currentRenewal(tx, consent)
  const cycle = renewal === undefined || renewal.status === 'open' ? consent.cycle : consent.cycle + 1
  if (cycle !== consent.cycle) await changeRecord(tx, 'consent', consent.id, { cycle })
  await reopenConsent(tx, consent, request.now, { at: request.now, reason })
  if (renewal?.status === 'open') await reviveMessages(tx, renewal.id, request.now)
  return cycle
}

/**
 * What an earlier request in the same cycle means for this one. Undefined: a new message is to be made. `done`: the
 * message that was requested before is not made yet, so the consent only becomes due again.
 */
const judgeRepetition = async (
  tx: Statements,
  renewal: RenewalRow | undefined,
  { now, resend, actor }: Pick<Request, 'now' | 'actor'> & { resend?: boolean | undefined },
): Promise<AdministrationAnswer | undefined> => {
  if (renewal === undefined || renewal.manualNo === 0) return undefined
  const rung = `manual-${renewal.manualNo}`
  const messages = await find(tx, 'notification', { renewalId: renewal.id, rung })
  if (messages.length === 0)
    return done(`asked for before: message ${rung} is not made yet; the next sweep tries again`)
  if (resend === true) return undefined
  if (messages.some(({ status }) => status === 'pending' || status === 'sending'))
    return unchanged(`message ${rung} is on its way (${resendBy(actor)} makes another)`)
  const recent = messages
    .filter(({ status }) => status === 'sent' || status === 'uncertain')
    .map(({ sentAt, createdAt }) => sentAt ?? createdAt)
    .find((at) => now.toMillis() - at.getTime() < RESEND_GUARD_HOURS * 3_600_000)
  if (recent === undefined) return undefined
  return refused(
    `message ${rung} went out at ${recent.toISOString()}, less than ${RESEND_GUARD_HOURS} hours ago: use ` +
      `${resendBy(actor)} to send another`,
  )
}

/**
 * Records the request on the consent's open renewal; returns its cycle. A lapsed renewal is opened again. If the
 * current renewal was closed in another way, the next cycle begins.
 */
const openForRequest = async (
  tx: Statements,
  consent: ConsentRow,
  current: RenewalRow | undefined,
  { request, manualNo, keepsTo }: { request: Request; manualNo: number; keepsTo: Route | undefined },
): Promise<number> => {
  const route = keepsTo === undefined ? {} : { route: keepsTo }
  if (current !== undefined && (current.status === 'open' || current.status === 'lapsed')) {
    await moveOne(tx, 'renewal', current, 'open', { orAlready: true, data: { closedAt: null, manualNo, ...route } })
    return current.cycle
  }
  const cycle = current === undefined ? consent.cycle : consent.cycle + 1
  if (cycle !== consent.cycle) await changeRecord(tx, 'consent', consent.id, { cycle })
  await insert(tx, 'renewal', {
    id: randomUUID(),
    consentId: consent.id,
    cycle,
    openedBy: request.actor ?? 'operator',
    reason: request.reason,
    openedAt: request.now.toJSDate(),
    manualNo,
    previousExpiresAt: consent.expiresAt,
    ...route,
  })
  await record(tx, consent, 'renewal.opened', request, { cycle })
  return cycle
}
