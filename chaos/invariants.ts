// What must hold whatever happened: each a check of the simulator's and the users' books against the database's. The database's own
// invariants are those of `reconsent verify`.
import { sha256Hex } from '../src/crypto/hashing.ts'
import type { Entry } from '../src/simulator/ledger.ts'
import { tokenContext } from '../src/store/refresh-token.ts'
import type { User } from './population.ts'
import { type AuthorisationRecord, type Evidence, readRecords, type Records } from './records.ts'
import { LEASE_MS, SWEEP_MS } from './rig.ts'
import type { Crowd, Return } from './users.ts'

export interface Violation {
  readonly invariant: number
  readonly record: string
  readonly what: string
}

export interface Checked {
  readonly invariant: number
  readonly says: string
  /** How many things were looked at. */
  readonly looked: number
  readonly violations: readonly Violation[]
  /** What is allowed and worth knowing. */
  readonly notes: readonly string[]
}

type Check = (books: Books) => Checked

export interface Books extends Evidence {
  readonly records: Records
  readonly crowd: Crowd
  readonly users: readonly User[]
}

const counted = (names: readonly string[]): string[] => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return [...counts].toSorted((a, b) => b[1] - a[1]).map(([name, count]) => `${count} × ${name}`)
}

/** The answers that prove that a code was not looked at: 429, and `invalid_client` that really reached the wire. */
const isSurelyUntouched = (entry: Entry): boolean =>
  (entry.outcome === 'not-processed' && entry.fault === 'rate-limited') || (entry.outcome === 'invalid_client' && entry.fault === undefined)

const codesOnce: Check = ({ records }) => {
  const violations: Violation[] = []
  let resent = 0
  for (const [codeNo, sends] of records.sends) {
    const settled = sends.findIndex((send) => !isSurelyUntouched(send))
    resent += sends.length - 1
    if (settled >= 0 && settled < sends.length - 1) {
      const story = sends.map((send) => `${send.outcome}${send.fault === undefined ? '' : ` (${send.fault})`} at ${send.at}`).join(', then ')
      violations.push({ invariant: 2, record: `code ${codeNo} of ${sends[0]?.credentials_id}`, what: `sent again after it may have been used: ${story}` })
    }
  }
  for (const entry of records.ledger) {
    if (entry.what === 'revoked') violations.push({ invariant: 2, record: `connection ${entry.credentials_id}`, what: `revoked by the provider: ${entry.detail}` })
  }
  return {
    invariant: 2, says: 'no code is sent again after it may have been used', looked: records.sends.size, violations,
    notes: resent === 0 ? [] : [`${resent} sends repeated after an answer that proves the code untouched (429, invalid_client)`],
  }
}

/** Whose approval it was, and what we made of it. */
interface Approval {
  readonly back: Return
  readonly row: AuthorisationRecord
}

const approvalsOf = ({ returns, records }: Books): { approvals: Approval[]; missing: Return[] } => {
  const approvals: Approval[] = []
  const missing: Return[] = []
  for (const back of returns) {
    if (back.as !== 'approve' || back.doneId === undefined) continue
    const row = records.byState.get(sha256Hex(back.state))
    if (row === undefined) missing.push(back)
    else approvals.push({ back, row })
  }
  return { approvals, missing }
}

const processed = (records: Records, codeNo: number | undefined): boolean =>
  (records.sends.get(codeNo ?? 0) ?? []).some((send) => send.outcome === 'ok')

/** A rotation whose answer never reached us takes the connection away from everybody: nothing of ours can mend it. */
const lostByRotation = ({ records }: Books, credentialsId: string): boolean => {
  const rotated = records.ledger.findLast((entry) => entry.what === 'rotated' && entry.credentials_id === credentialsId)
  if (rotated === undefined) return false
  const carried = records.ledger[rotated.seq]
  if (carried?.fault !== undefined) return true
  const at = new Date(rotated.at)
  return records.faultsWithin(at, at).length > 0
}

const approvedAreRenewedOrAsked: Check = (books) => {
  const { records } = books
  const { approvals, missing } = approvalsOf(books)
  const violations: Violation[] = missing.map((back) => ({
    invariant: 3, record: `user ${back.user.no}`, what: 'a callback was answered, but its authorisation is not there',
  }))
  const asked: string[] = []
  const delaysMs: number[] = []
  const untaken: string[] = []
  for (const { back, row } of approvals) {
    const record = `authorisation ${row.id} (user ${back.user.no}, ${back.how})`
    const renewal = records.renewals.get(row.renewal_id)
    if (renewal?.status === 'renewed' || renewal?.status === 'repaired') continue
    if (row.code_received_at === null) {
      // Answered, but not taken: right only where the cycle or the state had ended.
      if (row.status === 'issued') violations.push({ invariant: 3, record, what: 'a callback was answered before its code was committed' })
      else untaken.push(`a code that came too late (${row.status})`)
      continue
    }
    if (['code_received', 'exchanging', 'verifying', 'unknown'].includes(row.status)) {
      violations.push({ invariant: 3, record, what: `still ${row.status} (${row.error_code}) when everything had been given time to end` })
      continue
    }
    const closedAt = row.closed_at ?? row.code_received_at
    const since = (records.notificationsOfRenewal.get(row.renewal_id) ?? []).filter((one) => one.created_at >= closedAt && one.status !== 'cancelled')
    const consent = records.consents.find((one) => one.id === row.consent_id)
    if (since.length === 0 && renewal?.status === 'open' && consent?.status === 'active') {
      violations.push({ invariant: 3, record, what: `approved, ${row.status} (${row.error_code}), and never asked again` })
      continue
    }
    const sends = records.sends.get(back.codeNo ?? 0) ?? []
    if (processed(records, back.codeNo) && !lostByRotation(books, back.user.credentialsId)) {
      violations.push({ invariant: 3, record, what: `the provider had renewed it, yet it ended ${row.status} (${row.error_code})` })
      continue
    }
    const faults = records.faultsWithin(row.code_received_at, closedAt)
    const why = sends.length === 0 ? 'never sent' : (sends.at(-1)?.fault ?? sends.at(-1)?.outcome ?? 'nothing')
    if (faults.length === 0) violations.push({ invariant: 3, record, what: `asked again (${row.error_code}; ${why}), and no fault explains it` })
    else asked.push(`asked again: ${row.error_code}, at the provider: ${why}`)
    const first = since.map((one) => one.created_at).toSorted((a, b) => a.getTime() - b.getTime())[0]
    if (first !== undefined) delaysMs.push(Math.max(0, books.rig.clock.realAt(first) - books.rig.clock.realAt(closedAt)))
  }
  return {
    invariant: 3, says: 'who approved is renewed, or asked again for a reason', looked: approvals.length + missing.length, violations,
    notes: [
      ...counted(asked),
      ...(delaysMs.length === 0 ? [] : [`asked again after ${(Math.max(...delaysMs) / 1000).toFixed(1)} s at most; sweeps are ${SWEEP_MS / 1000} s apart`]),
      ...counted(untaken),
    ],
  }
}

const tokensAreTheirs: Check = (books) => {
  const { records, rig } = books
  const violations: Violation[] = []
  const ownerOf = new Map(rig.simulator.connections().flatMap((one) => (one.refreshToken === undefined ? [] : [[one.refreshToken, one.credentialsId] as const])))
  let lost = 0
  for (const consent of records.consents) {
    const record = `consent ${consent.id}`
    const connection = rig.simulator.connection(consent.credentials_id)
    let stored: string
    try {
      stored = rig.vault.open(consent.refresh_token, tokenContext(consent.id, consent.token_version)).reveal()
    } catch {
      violations.push({ invariant: 4, record, what: 'the stored token does not decrypt' })
      continue
    }
    if (connection?.refreshToken === stored) continue
    const owner = ownerOf.get(stored)
    if (owner !== undefined && owner !== consent.credentials_id) violations.push({ invariant: 4, record, what: `holds the token of another connection (${owner})` })
    else if (lostByRotation(books, consent.credentials_id)) lost += 1
    else violations.push({ invariant: 4, record, what: 'the stored token is not the last one issued, and no fault explains it' })
  }
  return {
    invariant: 4, says: 'stored tokens decrypt, are the last ones issued, and nobody else’s', looked: records.consents.length, violations,
    notes: lost === 0 ? [] : [`${lost} tokens were rotated by the provider in an answer that was lost on the way`],
  }
}

const datesAreTheProviders: Check = (books) => {
  const { records, rig } = books
  const violations: Violation[] = []
  let looked = 0
  for (const consent of records.consents) {
    const connection = rig.simulator.connection(consent.credentials_id)
    if (connection === undefined || consent.status !== 'active') continue
    looked += 1
    const apart = connection.dates.expiresAt.toMillis() - consent.expires_at.getTime()
    if (Math.abs(apart) > 3_600_000 && !lostByRotation(books, consent.credentials_id)) {
      violations.push({ invariant: 5, record: `consent ${consent.id}`, what: `the provider's expiry is ${Math.round(apart / 3_600_000)} h from the stored one` })
    }
  }
  return { invariant: 5, says: 'a renewal is recorded where the provider made one, and nowhere else', looked, violations, notes: [] }
}

const idOfMail = (entry: Entry): string => (entry.message_id ?? '').split('@')[0] ?? ''
/** What was under way when the cycle closed may end: a lease, and the longest call. */
const MAIL_SLACK_MS = LEASE_MS + 4_000

const mailsAtMostOnce: Check = ({ records, rig }) => {
  const violations: Violation[] = []
  const delivered = new Map<string, Entry[]>()
  for (const entry of records.ledger) {
    if (entry.what !== 'mail' || entry.outcome !== 'ok') continue
    const mails = delivered.get(idOfMail(entry))
    if (mails === undefined) delivered.set(idOfMail(entry), [entry])
    else mails.push(entry)
  }
  let uncertain = 0
  for (const [id, mails] of delivered) {
    const row = records.notifications.get(id)
    if (row?.status === 'uncertain') uncertain += 1
    if (mails.length > 1 && row?.status !== 'uncertain') violations.push({ invariant: 6, record: `notification ${id}`, what: `delivered ${mails.length} times, and the row says ${row?.status}` })
  }
  for (const row of records.notifications.values()) {
    const closed = records.renewals.get(row.renewal_id)?.closed_at
    if (row.status === 'sent' && !delivered.has(row.id)) violations.push({ invariant: 6, record: `notification ${row.id}`, what: 'said to be sent, but no mail server has it' })
    if (closed === null || closed === undefined || row.sending_at === null) continue
    if (rig.clock.realAt(row.sending_at) > rig.clock.realAt(closed) + LEASE_MS) {
      violations.push({ invariant: 6, record: `notification ${row.id}`, what: `committed to be sent at ${row.sending_at.toISOString()}, after its cycle had closed at ${closed.toISOString()}` })
    }
    for (const mail of delivered.get(row.id) ?? []) {
      if (rig.clock.realAt(new Date(mail.at)) > rig.clock.realAt(closed) + MAIL_SLACK_MS) {
        violations.push({ invariant: 6, record: `notification ${row.id}`, what: `delivered at ${mail.at}, after its cycle had closed at ${closed.toISOString()}` })
      }
    }
  }
  return {
    invariant: 6, says: 'a message is delivered at most once, and never after the renewal', looked: delivered.size, violations,
    notes: uncertain === 0 ? [] : [`${uncertain} delivered messages are rightly marked uncertain`],
  }
}

const effectsHaveIntents: Check = ({ records, returns }) => {
  const violations: Violation[] = []
  const rowOfCode = new Map(returns.flatMap((back) => (back.codeNo === undefined ? [] : [[back.codeNo, records.byState.get(sha256Hex(back.state))] as const])))
  let looked = 0
  let probes = 0
  for (const entry of records.ledger) {
    const at = new Date(entry.at)
    if (entry.what === 'mail') {
      if (entry.outcome !== 'ok') continue
      looked += 1
      const row = records.notifications.get(idOfMail(entry))
      if (row === undefined) violations.push({ invariant: 7, record: `mail ${entry.message_id}`, what: 'no notification in the database tells of it' })
      else if (row.sending_at === null || row.sending_at > at) {
        violations.push({ invariant: 7, record: `notification ${row.id}`, what: `a mail arrived at ${entry.at}, the intent to send is of ${row.sending_at?.toISOString() ?? 'never'}` })
      }
    }
    // No bank ever gave this code: our own question whether the provider knows us (client.ts, checkCredentials), or a foreign callback.
    if (entry.what === 'exchange' && entry.code_no === undefined) probes += 1
    else if (entry.what === 'exchange') {
      looked += 1
      const row = rowOfCode.get(entry.code_no ?? 0)
      if (row === undefined) violations.push({ invariant: 7, record: `code ${entry.code_no}`, what: 'was sent, but no authorisation tells of it' })
      else {
        const sent = (records.sends.get(entry.code_no ?? 0) ?? []).filter(({ seq }) => seq <= entry.seq).length
        const intended = (records.intents.get(row.id) ?? []).filter((intent) => intent <= at).length
        if (intended < sent) violations.push({ invariant: 7, record: `authorisation ${row.id}`, what: `its code was sent ${sent} times by ${entry.at}, intended ${intended} times` })
      }
    }
  }
  return { invariant: 7, says: 'every effect outside has an intent that was committed before it', looked, violations, notes: probes === 0 ? [] : [`${probes} calls with a made-up code asked whether the provider knows our client id`] }
}

const linksOnce: Check = ({ crowd }) => ({
  invariant: 7, says: 'no link to the bank is handed out twice', looked: crowd.bankLinks.size, notes: [],
  violations: [...crowd.bankLinks].filter(([, times]) => times > 1).map(([link, times]) => ({
    invariant: 7, record: `bank link ${new URL(link).pathname.slice(0, 40)}…`, what: `was handed out ${times} times`,
  })),
})

/** Users who want to renew and set out: with their consent alive, they must have got there. */
const willing = new Set<User['kind']>(['renews', 'clicks-twice'])
const theWillingAreRenewed: Check = (books) => {
  const { users, crowd, records } = books
  const consentOf = new Map(records.consents.map((one) => [one.credentials_id, one]))
  const renewedIds = new Set([...records.renewals.values()].filter(({ status }) => status === 'renewed').map((row) => row.consent_id))
  const violations: Violation[] = []
  let looked = 0
  let lost = 0
  let late = 0
  let leftOut = 0
  for (const user of users) {
    const consent = consentOf.get(user.credentialsId)
    if (!willing.has(user.kind) || !crowd.visited.has(user) || consent === undefined) continue
    looked += 1
    if (renewedIds.has(consent.id)) continue
    if (lostByRotation(books, user.credentialsId)) {
      lost += 1
      continue
    }
    // The months of a run pass in minutes. Whether an approval of theirs was lost is the third invariant's question.
    if (consent.status === 'lapsed') {
      late += 1
      continue
    }
    if (crowd.leftOut.has(user)) {
      leftOut += 1
      continue
    }
    violations.push({ invariant: 9, record: `consent ${consent.id}`, what: `user ${user.no} wanted to renew and set out; the consent is ${consent.status} (${consent.last_error_code ?? 'no error'})` })
  }
  return {
    invariant: 9, says: 'every user who wanted to renew and set out has renewed', looked, violations,
    notes: [
      ...(lost === 0 ? [] : [`${lost} could not, their token having been rotated in a lost answer`]),
      ...(late === 0 ? [] : [`${late} lapsed before their user had renewed: what was away for seconds was away for days of the run`]),
      ...(leftOut === 0 ? [] : [`${leftOut} were asked again when the run had no more time for visits`]),
    ],
  }
}

const checks: readonly Check[] = [
  codesOnce, approvedAreRenewedOrAsked, tokensAreTheirs, datesAreTheProviders, mailsAtMostOnce, effectsHaveIntents, linksOnce, theWillingAreRenewed,
]

export const askEveryCheck = (books: Books): Checked[] => checks.map((check) => check(books))

/** Reads everything once and asks every check. */
export const checkBooks = async (evidence: Evidence & Pick<Books, 'crowd' | 'users'>): Promise<Checked[]> =>
  askEveryCheck({ ...evidence, records: await readRecords(evidence) })
