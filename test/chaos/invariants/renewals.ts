// Invariants 4, 5 and 9: compares what the database holds at the end with what the provider did and what the users
// wanted.
import { sha256Hex } from '../../../src/crypto/hashing.ts'
import { type StoredTokens, storedTokens } from '../../setup/stored-tokens.ts'
import type { Books, Check } from '../books.ts'
import type { Violation } from '../checked.ts'
import { rotationLostBy } from '../explain.ts'
import { holdsOf, optOutOf } from '../holds.ts'
import { metWithin } from '../obstacles.ts'
import type { User } from '../population.ts'
import type { ConsentRecord, Records } from '../records.ts'
import { OWN } from '../stalls.ts'
import type { Struck } from '../struck.ts'
import type { Attempt } from '../way-back.ts'
import { knownOf } from './approvals.ts'
import { counted } from './counted.ts'

/** The attempts whose pending tokens may still be used. */
const openAttemptsOf = ({ renewalsOf, authorisationsOf }: Records, consentId: string) =>
  (renewalsOf.get(consentId) ?? [])
    .flatMap(({ id }) => authorisationsOf.get(id) ?? [])
    .filter((row) => row.closed_at === null)

/** Whether the company was told since the provider last replaced the token that none of the stored ones works. */
const wasTold = ({ toldRejected, rotations }: Records, consent: ConsentRecord): boolean => {
  const told = toldRejected.get(consent.id)
  const rotated = rotations.get(consent.credentials_id)
  return told !== undefined && (rotated === undefined || told >= new Date(rotated.at))
}

export const tokensAreTheirs: Check = (books) => {
  const { records, rig } = books
  const known = knownOf(books)
  const violations: Violation[] = []
  const ownerOf = new Map(
    rig.simulator
      .connections()
      .flatMap((one) => (one.refreshToken === undefined ? [] : [[one.refreshToken, one.credentialsId] as const])),
  )
  const lost: string[] = []
  const elsewhere = { beside: 0, told: 0 }
  for (const consent of records.consents) {
    const record = `consent ${consent.id}`
    const connection = rig.simulator.connection(consent.credentials_id)
    let tokens: StoredTokens
    try {
      tokens = storedTokens(rig.vault, consent, openAttemptsOf(records, consent.id))
    } catch {
      violations.push({ invariant: 4, record, what: 'a stored token does not decrypt' })
      continue
    }
    const { current, candidate, pending } = tokens
    // Whose a pending token is, is not known yet.
    const owner = [current, ...(candidate === undefined ? [] : [candidate])]
      .flatMap((token) => ownerOf.get(token) ?? [])
      .find((one) => one !== consent.credentials_id)
    if (owner !== undefined)
      violations.push({ invariant: 4, record, what: `holds the token of another connection (${owner})` })
    if (owner !== undefined || connection?.refreshToken === current) continue
    const by = rotationLostBy(known, consent.credentials_id)
    if (connection?.refreshToken !== undefined && [candidate, ...pending].includes(connection.refreshToken))
      elsewhere.beside += 1
    else if (wasTold(records, consent)) elsewhere.told += 1
    else if (by === undefined)
      violations.push({
        invariant: 4,
        record,
        what: 'none of the stored tokens is the one that works, nobody was told, and no fault explains it',
      })
    else lost.push(`token rotated by the provider in an answer that was lost (${by.by.replace(/ at .*/, '')})`)
  }
  return {
    invariant: 4,
    says: 'stored tokens decrypt, are nobody else’s, and the one that works is among them, or the company was told',
    looked: records.consents.length,
    violations,
    notes: [
      ...(elsewhere.beside === 0 ? [] : [`${elsewhere.beside} × the one that works waits beside the current one`]),
      ...(elsewhere.told === 0 ? [] : [`${elsewhere.told} × the company was told that none of them works`]),
      ...counted(lost),
    ],
  }
}

/** The same-connection check: a code that another user got renews nothing, whatever state it comes with. */
export const foreignCodesRenewNothing: Check = ({ records, crowd }) => {
  const violations: Violation[] = []
  let taken = 0
  for (const { state, codeNo, user } of crowd.foreign) {
    const row = records.byState.get(sha256Hex(state))
    if (row === undefined || row.code_received_at === null) continue
    taken += 1
    const done = (records.sends.get(codeNo ?? 0) ?? []).some(({ outcome }) => outcome === 'ok')
    if (done)
      violations.push({
        invariant: 5,
        record: `authorisation ${row.id}`,
        what: `got tokens for a code that user ${user.no} had got for another consent`,
      })
  }
  return {
    invariant: 5,
    says: 'a code that came with the state of another consent renews nothing',
    looked: crowd.foreign.length,
    violations,
    notes:
      crowd.foreign.length === 0
        ? []
        : [`${taken} of them were taken, sent and refused; the others came when the state was closed`],
  }
}

export const datesAreTheProviders: Check = (books) => {
  const { records, rig } = books
  const known = knownOf(books)
  const violations: Violation[] = []
  const lost: string[] = []
  let looked = 0
  for (const consent of records.consents) {
    const connection = rig.simulator.connection(consent.credentials_id)
    if (connection === undefined || consent.status !== 'active') continue
    looked += 1
    const apart = connection.dates.expiresAt.toMillis() - consent.expires_at.getTime()
    if (Math.abs(apart) <= 3_600_000) continue
    if (rotationLostBy(known, consent.credentials_id) !== undefined)
      lost.push('date unknown to us: the token that could tell was rotated in a lost answer')
    else
      violations.push({
        invariant: 5,
        record: `consent ${consent.id}`,
        what: `the provider's expiry is ${Math.round(apart / 3_600_000)} h from the stored one`,
      })
  }
  return {
    invariant: 5,
    says: 'a renewal is recorded where the provider made one, and nowhere else',
    looked,
    violations,
    notes: counted(lost),
  }
}

/** The grace window after the expiry, for the banks of the run: after it the provider makes no link. */
const GRACE_MS = 90 * 24 * 3_600_000

/** The name under which the run logs that it empties Redis by the clock (`--flush-every`). */
export const EMPTIED = 'Redis emptied in its turn'
const EMPTIED_EVERY_MS = 60_000
/** The emptying waits for a search of what Redis holds, and for a Redis that is unavailable. */
const EMPTIED_LATE_MS = 60_000

/** Undefined where Redis was emptied every minute, as the invariant demands. */
const notEmptied = (log: readonly Struck[]): string | undefined => {
  const at = log.filter(({ name, happened }) => name === EMPTIED && happened > 0).map(({ to }) => to)
  if (at.length < 2) return `Redis was emptied ${at.length} times by the clock: run with --flush-every 60s`
  const longest = Math.max(...at.slice(1).map((one, index) => one - (at[index] ?? one)))
  return longest > EMPTIED_EVERY_MS + EMPTIED_LATE_MS
    ? `Redis was left as it was for ${Math.round(longest / 1000)} s`
    : undefined
}

/** Why a visit did not end in a renewal; undefined where the run knows of no reason. */
const reasonOf = (
  { records, log, acts, rig: { clock } }: Books,
  consent: ConsentRecord,
  { from, to, got }: Attempt,
): string | undefined => {
  const wasPaused = holdsOf(acts, consent.id).some(({ may }) => may.from <= to && may.to >= from)
  if (wasPaused && got !== 'taken' && got !== 'tampered') return 'an operator had paused it'
  switch (got) {
    case 'taken':
      // The third invariant judges whether this approval was rightly given up.
      return 'asked again'
    case 'tampered':
      return 'tampered'
    case 'nothing to do': {
      const renewals = [...(records.renewalsOf.get(consent.id) ?? [])]
      const rows = renewals.flatMap(({ id }) => records.authorisationsOf.get(id) ?? [])
      const isInHand = rows.some(
        (row) =>
          row.code_received_at !== null &&
          clock.realAt(row.code_received_at) <= to &&
          (row.closed_at === null || clock.realAt(row.closed_at) >= from),
      )
      const hasEnded = renewals.some(
        ({ status, closed_at: closedAt }) => status !== 'open' && closedAt !== null && clock.realAt(closedAt) <= to,
      )
      return isInHand ? 'an exchange was in progress' : hasEnded ? 'the cycle had ended' : undefined
    }
    case 'no page':
    case 'refused':
    case 'no bank':
    case 'no answer': {
      if (clock.shownAt(to) >= consent.expires_at.getTime() + GRACE_MS) return 'grace had ended'
      const met = [
        ...metWithin(
          log,
          [
            'web',
            'database',
            'database-late',
            'users',
            'provider-refuses',
            'provider-breaks',
            'provider-fails',
            'queue',
          ],
          { from, to },
        ),
        ...metWithin(log, ['one-process'], { from, to }).filter(({ who }) => who === OWN || who?.startsWith('web-')),
      ][0]
      return met === undefined
        ? clock.jumpedWithin(from, to)
          ? 'days went by meanwhile'
          : undefined
        : `met "${met.name}"`
    }
  }
}

/**
 * Why no mail has asked the user since their last visit. A message that waits too long violates the first invariant.
 */
const notAskedSince = (
  { records, rig: { clock } }: Books,
  { id }: ConsentRecord,
  { to }: Attempt,
): string | undefined => {
  const open = (records.renewalsOf.get(id) ?? []).filter(({ status }) => status === 'open')
  const messages = open.flatMap((renewal) => records.notificationsOfRenewal.get(renewal.id) ?? [])
  if (messages.some(({ status }) => status === 'pending' || status === 'sending'))
    return 'the run ended before their next mail was due'
  const since = messages.filter(({ sending_at, repeated_at }) => {
    const at = repeated_at ?? sending_at
    return at !== null && clock.realAt(at) >= to
  })
  if (since.some(({ status }) => status === 'uncertain'))
    return 'their next mail is uncertain: it may never have come, and is not sent again'
  return since.some(({ status }) => status === 'failed')
    ? 'the mail server refused their next mail for good'
    : undefined
}

/** Users who want to renew from their first mail on: while their consent is alive, they must have succeeded. */
const willing = new Set<User['kind']>(['renews', 'clicks-twice'])

export const theWillingAreRenewed: Check = (books) => {
  const { users, crowd, records, acts, log } = books
  const known = knownOf(books)
  const consentOf = new Map(records.consents.map((one) => [one.credentials_id, one]))
  const renewedIds = new Set(
    [...records.renewals.values()].filter(({ status }) => status === 'renewed').map((row) => row.consent_id),
  )
  const attemptsOf = Map.groupBy(crowd.attempts, ({ user }) => user)
  const violations: Violation[] = []
  const excluded: string[] = []
  let looked = 0
  for (const user of users) {
    const consent = consentOf.get(user.credentialsId)
    const attempts = attemptsOf.get(user) ?? []
    if (!willing.has(user.kind) || (attempts.length === 0 && !crowd.mailed.has(user)) || consent === undefined) continue
    looked += 1
    if (renewedIds.has(consent.id)) continue
    const violated = (why: string): void =>
      void violations.push({
        invariant: 9,
        record: `consent ${consent.id}`,
        what:
          `user ${user.no} wanted to renew and had a mail; the consent is ${consent.status} ` +
          `(${consent.last_error_code ?? 'no error'}): ${why}`,
      })
    if (rotationLostBy(known, user.credentialsId) !== undefined) {
      excluded.push('token rotated in a lost answer: nobody can renew this connection')
      continue
    }
    if (consent.status === 'opted_out' && optOutOf(acts, consent.id) !== undefined) {
      excluded.push('opted out meanwhile')
      continue
    }
    if (attempts.length === 0) {
      if (crowd.leftOut.has(user)) excluded.push("the run's time for visits ended before they set out")
      else violated('they never set out')
      continue
    }
    const reasons = attempts.map((attempt) => reasonOf(books, consent, attempt))
    const unexplained = attempts.find((_, index) => reasons[index] === undefined)
    const last = reasons.at(-1) ?? 'nothing'
    if (unexplained !== undefined)
      violated(`a try of theirs ended with "${unexplained.got}", and nothing stood in the way`)
    else if (consent.status === 'lapsed') excluded.push(`grace ended before another try; the last one: ${last}`)
    else if (crowd.leftOut.has(user))
      excluded.push(`the run's time for visits ended before another try; the last one: ${last}`)
    else {
      const why = notAskedSince(books, consent, attempts.at(-1)!)
      if (why === undefined) violated(`the last try: ${last}`)
      else excluded.push(`${why}; the last try: ${last}`)
    }
  }
  return {
    invariant: 9,
    says: 'with Redis emptied every minute, every user who wanted to renew and had a mail has renewed',
    looked,
    violations,
    notShown: notEmptied(log),
    notes: counted(excluded).map((line) => `left out: ${line}`),
  }
}
