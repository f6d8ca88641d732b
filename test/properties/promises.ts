// What holds after every step of a life, and what holds once nothing is due or in doubt any more. Each broken promise
// is a sentence.
import type { Consent } from '../../src/domain/model.ts'
import {
  authorisationTransitions,
  consentTransitions,
  notificationTransitions,
  renewalTransitions,
} from '../../src/domain/lifecycle.ts'
import { verify } from '../../src/verify/verify.ts'
import { type PendingRow, storedTokens, TOKEN_COLUMNS, type TokenRow } from '../setup/stored-tokens.ts'
import type { World } from '../setup/world.ts'

type Table = Readonly<Record<string, Readonly<Record<string, string | undefined>>>>

/**
 * Whether a chain of allowed transitions leads from one state to the other: between two checks there may have been
 * several.
 */
const leadsTo = (table: Table, from: string, to: string, seen = new Set<string>()): boolean => {
  if (from === to) return true
  if (seen.has(from)) return false
  seen.add(from)
  return Object.keys(table[from] ?? {}).some((next) => leadsTo(table, next, to, seen))
}

/** The statuses of all records of a consent at one moment, by table and id. */
type Statuses = Map<string, { readonly table: Table; readonly status: string }>

export const rowsOf = async (world: World, id: string) => {
  const consent = await world.db.prisma.consent.findUniqueOrThrow({ where: { id } })
  return {
    consent,
    renewals: await world.renewalsOf(id),
    authorisations: await world.authorisationsOf(id),
    notifications: await world.notificationsOf(id),
  }
}
export type Rows = Awaited<ReturnType<typeof rowsOf>>

const statusesIn = ({ consent, renewals, authorisations, notifications }: Rows): Statuses => {
  const found: Statuses = new Map()
  const add = (table: Table, rows: readonly { readonly id: string; readonly status: string }[]): void => {
    for (const { id, status } of rows) found.set(id, { table, status })
  }
  add(consentTransitions, [consent])
  add(renewalTransitions, renewals)
  add(authorisationTransitions, authorisations)
  add(notificationTransitions, notifications)
  return found
}

const open = {
  consent: ['active'],
  authorisation: ['issued', 'code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date'],
  notification: ['pending', 'sending'],
}

const undated = ({ consent, authorisations, notifications }: Rows): string[] => {
  const dated = (
    kind: keyof typeof open,
    rows: readonly { readonly status: string; readonly nextActionAt: Date | null }[],
  ): string[] =>
    rows
      .filter(({ status, nextActionAt }) => open[kind].includes(status) && nextActionAt === null)
      .map(({ status }) => `a ${kind} that is ${status} has no date`)
  return [
    ...dated('consent', [consent]),
    ...dated('authorisation', authorisations),
    ...dated('notification', notifications),
  ]
}

const NOT_PROCESSED = ['not-processed', 'invalid_client']
const repeated = (all: readonly unknown[]): boolean => new Set(all).size < all.length

/** What the ledger of the provider and the mail server says. */
const judged = (
  { simulator: { ledger } }: World,
  { credentialsId, email }: Consent,
  { renewals, notifications }: Rows,
): string[] => {
  const broken: string[] = []
  const exchanges = ledger.entries({ what: 'exchange', credentials_id: credentialsId })
  const processed = exchanges.filter(
    ({ outcome, code_no }) => !NOT_PROCESSED.includes(outcome) && code_no !== undefined,
  )
  if (repeated(processed.map(({ code_no }) => code_no))) broken.push('a code was processed twice')
  const revoked = ledger.count({ what: 'revoked', credentials_id: credentialsId }) > 0
  if (revoked || exchanges.some(({ detail }) => detail === 'reused')) broken.push('a used code was sent again')
  const mails = ledger.entries({ what: 'mail', outcome: 'ok', to: email ?? '' })
  for (const [id, copies] of Map.groupBy(mails, ({ message_id: name = '' }) => name.split('@')[0])) {
    const row = notifications.find((message) => message.id === id)
    const hasLeft = row !== undefined && ['sending', 'sent', 'uncertain'].includes(row.status)
    const most = hasLeft ? (row.repeatedAt === null ? 1 : 2) : 0
    if (copies.length > most) broken.push(`a message (${row?.status}) was delivered ${copies.length} times`)
  }
  const sent = notifications.filter(({ status }) => status === 'sent').length
  if (sent > mails.length) broken.push(`${sent} messages count as sent, and ${mails.length} arrived`)
  if (repeated(notifications.map(({ cycle, rung }) => `${cycle} ${rung}`))) broken.push('a rung has two messages')
  const successes = renewals.filter(({ status }) => status === 'renewed').length
  if (successes > ledger.count({ what: 'renewed', credentials_id: credentialsId }))
    broken.push('more renewals were believed than the bank has made')
  return broken
}

/** Whether an answer with a new token was lost on its way: then nobody has that token. */
export const aTokenGotLost = ({ simulator }: World, { credentialsId }: Consent): boolean =>
  simulator.switches.get('rotate_refresh_tokens') !== 'never' &&
  (['exchange', 'refresh'] as const).some((what) =>
    simulator.ledger.entries({ what, credentials_id: credentialsId }).some(({ fault }) => fault !== undefined),
  )

const isClosed = (rows: Rows): boolean => ['revoked', 'opted_out', 'superseded'].includes(rows.consent.status)

/** The token that the provider would accept now is stored: as the current one, a candidate or a pending one. */
export const hasValidToken = async (
  { db, vault, simulator }: World,
  { id, credentialsId }: Consent,
): Promise<boolean> => {
  const { prisma } = db
  const [row] = await prisma.$queryRawUnsafe<TokenRow[]>(
    `SELECT ${TOKEN_COLUMNS} FROM consents WHERE id = $1::uuid`,
    id,
  )
  const attempts = await prisma.$queryRaw<PendingRow[]>`
    SELECT id, pending_refresh_token FROM authorisations WHERE consent_id = ${id}::uuid AND closed_at IS NULL`
  const accepted = simulator.connection(credentialsId)?.refreshToken
  if (row === undefined || accepted === undefined) return false
  const { current, candidate, pending } = storedTokens(vault, row, attempts)
  return [current, candidate, ...pending].includes(accepted)
}

/** Since the provider last replaced the token, the company was told that none of the stored ones works. */
const wasTold = async ({ eventsOf, simulator }: World, { id, credentialsId }: Consent): Promise<boolean> => {
  const rotated = simulator.ledger.entries({ what: 'rotated', credentials_id: credentialsId }).at(-1)
  return (await eventsOf(id)).some(
    ({ type, at }) => type === 'token.rejected' && (rotated === undefined || at.toMillis() >= Date.parse(rotated.at)),
  )
}

/** The promise itself: the token that works is stored, or the company was told that none is. */
export const keepsTokenPromise = async (world: World, consent: Consent): Promise<boolean> =>
  (await hasValidToken(world, consent)) || (await wasTold(world, consent))

/**
 * The token that works must be among those stored, or the company was told that none of them does. Except for a consent
 * that is closed for good: neither an import nor the provider changes its token any more.
 */
const tokenProblem = async (world: World, consent: Consent, rows: Rows): Promise<string[]> =>
  isClosed(rows) || aTokenGotLost(world, consent) || (await keepsTokenPromise(world, consent))
    ? []
    : ['the token that works at the provider is not among the stored ones, and the company was not told']

/** Remembers the statuses of the last check, so that every change since can be judged. */
export const makePromises = (world: World, consent: Consent) => {
  let before: Statuses = new Map()
  return {
    afterEachStep: async (): Promise<string[]> => {
      const rows = await rowsOf(world, consent.id)
      const now = statusesIn(rows)
      const broken = [...undated(rows), ...judged(world, consent, rows)]
      for (const [id, { table, status }] of before) {
        const after = now.get(id)?.status
        if (after === undefined) broken.push(`a record that was ${status} is gone`)
        else if (!leadsTo(table, status, after)) broken.push(`${status} became ${after}`)
      }
      before = now
      const events = await world.eventsOf(consent.id)
      if (events.some(({ seq }, index) => seq !== index + 1)) broken.push('its events have a gap')
      if (world.simulator.switches.get('rotate_refresh_tokens') === 'never')
        broken.push(...(await tokenProblem(world, consent, rows)))
      return broken
    },

    atRest: async (): Promise<string[]> => {
      const rows = await rowsOf(world, consent.id)
      const broken = await tokenProblem(world, consent, rows)
      const inFlight = rows.authorisations.filter(({ status }) =>
        ['code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date'].includes(status),
      )
      if (inFlight.length > 0)
        broken.push(`authorisations are still ${inFlight.map(({ status }) => status).join(', ')}`)
      const bank = world.simulator.connection(consent.credentialsId)
      // If a second code of the cycle comes while the first is in doubt, it renews the connection at the bank again,
      // hours later.
      const apart = Math.abs((bank?.dates.expiresAt.toMillis() ?? 0) - rows.consent.expiresAt.getTime()) / 86_400_000
      if (!isClosed(rows) && !aTokenGotLost(world, consent) && apart > 1.5)
        broken.push(`the bank's date and ours are ${apart.toFixed(1)} days apart`)
      const found = await verify(world.db, { now: world.clock.now(), deep: true })
      return [...broken, ...found.map(({ invariant, what }) => `verify, invariant ${invariant}: ${what}`)]
    },
  }
}
