// Invariants 2, 6 and 7: everything that was sent, by the records of the provider, the mail server and the users.
import type { Entry } from '../../../simulator/src/ledger.ts'
import { sha256Hex } from '../../../src/crypto/hashing.ts'
import type { Check } from '../books.ts'
import type { Violation } from '../checked.ts'
import { losesAnswer } from '../explain.ts'
import type { AuthorisationRecord, NotificationRecord } from '../records.ts'
import { LEASE_MS } from '../rig.ts'

/**
 * The answers that prove that the provider did not look at a code: a 429, or an `invalid_client` that reached
 * Reconsent.
 */
const isSurelyUntouched = (entry: Entry): boolean =>
  (entry.outcome === 'not-processed' && entry.fault === 'rate-limited') ||
  (entry.outcome === 'invalid_client' && !losesAnswer(entry))

export const codesOnce: Check = (books) => {
  const { records } = books
  const violations: Violation[] = []
  let [resent, sent] = [0, 0]
  for (const [codeNo, sends] of records.sends) {
    const settled = sends.findIndex((send) => !isSurelyUntouched(send))
    resent += sends.length - 1
    sent += sends.length
    if (settled >= 0 && settled < sends.length - 1) {
      const story = sends
        .map((send) => `${send.outcome}${send.fault === undefined ? '' : ` (${send.fault})`} at ${send.at}`)
        .join(', then ')
      violations.push({
        invariant: 2,
        record: `code ${codeNo} of ${sends[0]?.credentials_id}`,
        what: `sent again after it may have been used: ${story}`,
      })
    }
  }
  for (const entry of records.ledger) {
    if (entry.what === 'revoked')
      violations.push({
        invariant: 2,
        record: `connection ${entry.credentials_id}`,
        what: `revoked by the provider: ${entry.detail}`,
      })
  }
  // A forged code has an intent but no number: the seventh invariant counts it.
  const forged = new Set(books.crowd.forged.flatMap(({ state }) => records.byState.get(sha256Hex(state))?.id ?? []))
  const intended = [...records.intents].reduce((sum, [id, intents]) => (forged.has(id) ? sum : sum + intents.length), 0)
  return {
    invariant: 2,
    says: 'no code is sent again after it may have been used',
    looked: records.sends.size,
    violations,
    notes: [
      ...(resent === 0
        ? []
        : [`${resent} sends repeated after an answer that proves the code untouched (429, invalid_client)`]),
      `${intended} intents to send a code, ${sent} sends of those codes at the provider: ${intended - sent} ` +
        'never got there (refused connections, an open circuit, deaths)',
    ],
  }
}

const idOfMail = (entry: Entry): string => (entry.message_id ?? '').split('@')[0] ?? ''
/** Work that was under way when the cycle closed may end: a lease, and the longest call. */
const MAIL_SLACK_MS = LEASE_MS + 4_000

/**
 * A message that its worker died over may have arrived, and is sent once more: it can arrive twice. No other message
 * that is not sent can have arrived: a 4xx or 5xx, also to the whole message, says that the server has not taken it,
 * and the simulator keeps to that. After a cut at the final dot the simulator gives no answer at all.
 */
const maxDelivered = ({ status, repeated_at }: NotificationRecord): number =>
  ['sending', 'sent', 'uncertain'].includes(status) ? (repeated_at === null ? 1 : 2) : 0

/** When each sending of a message was committed: its first, and its repetition. */
const begunAt = ({ sending_at, repeated_at }: NotificationRecord): Date[] =>
  [sending_at, repeated_at].filter((at) => at !== null)

export const mailsAtMostOnce: Check = ({ records, rig, endedAt }) => {
  const violations: Violation[] = []
  const delivered = Map.groupBy(
    records.ledger.filter((entry) => entry.what === 'mail' && entry.outcome === 'ok'),
    idOfMail,
  )
  let [uncertain, repeated, twice] = [0, 0, 0]
  for (const [id, mails] of delivered) {
    const row = records.notifications.get(id)
    // The seventh invariant reports a mail that has no row.
    const most = row === undefined ? 1 : maxDelivered(row)
    if (row?.status === 'uncertain') uncertain += 1
    if (row?.repeated_at != null && mails.length > 1) twice += 1
    if (mails.length > most)
      violations.push({
        invariant: 6,
        record: `notification ${id}`,
        what:
          `delivered ${mails.length} times, and the row says ${row?.status}` +
          (row?.repeated_at == null ? '' : `, repeated at ${row.repeated_at.toISOString()}`),
      })
  }
  for (const row of records.notifications.values()) {
    const closed = records.renewals.get(row.renewal_id)?.closed_at
    if (row.repeated_at !== null) repeated += 1
    // A worker died over it, and the repetition waits for its time: for the end of quiet hours, say.
    const waits = row.next_action_at !== null && rig.clock.realAt(row.next_action_at) > endedAt
    if (row.status === 'sending' && !waits)
      violations.push({
        invariant: 6,
        record: `notification ${row.id}`,
        what: 'still being sent when everything had been given time to end',
      })
    if (row.status === 'sent' && !delivered.has(row.id))
      violations.push({
        invariant: 6,
        record: `notification ${row.id}`,
        what: 'said to be sent, but no mail server has it',
      })
    if (closed === null || closed === undefined) continue
    for (const begun of begunAt(row)) {
      if (rig.clock.realAt(begun) > rig.clock.realAt(closed) + LEASE_MS) {
        violations.push({
          invariant: 6,
          record: `notification ${row.id}`,
          what: `committed to be sent at ${begun.toISOString()}, after its cycle had closed at ${closed.toISOString()}`,
        })
      }
    }
    if (row.sending_at === null) continue
    for (const mail of delivered.get(row.id) ?? []) {
      if (rig.clock.realAt(new Date(mail.at)) > rig.clock.realAt(closed) + MAIL_SLACK_MS) {
        violations.push({
          invariant: 6,
          record: `notification ${row.id}`,
          what: `delivered at ${mail.at}, after its cycle had closed at ${closed.toISOString()}`,
        })
      }
    }
  }
  return {
    invariant: 6,
    says: 'a message is delivered at most once, or twice where its worker died, and never after the renewal',
    looked: delivered.size,
    violations,
    notes: [
      ...(uncertain === 0 ? [] : [`${uncertain} delivered messages are rightly marked uncertain`]),
      ...(repeated === 0
        ? []
        : [`${repeated} messages were repeated, because a worker died or slept over them; ${twice} arrived twice`]),
    ],
  }
}

/**
 * The authorisations whose intents allow a code to be sent: those whose state came with the code, its own or a foreign
 * one.
 */
const rowsOfCodes = ({ returns, crowd, records }: Parameters<Check>[0]): Map<number, AuthorisationRecord[]> => {
  const rows = new Map<number, AuthorisationRecord[]>()
  const cameWith = [...returns, ...crowd.foreign].map(({ codeNo, state }) => ({
    codeNo,
    row: records.byState.get(sha256Hex(state)),
  }))
  for (const { codeNo, row } of cameWith)
    if (codeNo !== undefined && row !== undefined) rows.set(codeNo, [...(rows.get(codeNo) ?? []), row])
  return rows
}

export const effectsHaveIntents: Check = (books) => {
  const { records } = books
  const violations: Violation[] = []
  const rows = rowsOfCodes(books)
  const arrived = new Map<string, number>()
  let looked = 0
  for (const entry of records.ledger) {
    const at = new Date(entry.at)
    if (entry.what === 'mail' && entry.outcome === 'ok') {
      looked += 1
      const row = records.notifications.get(idOfMail(entry))
      if (row === undefined)
        violations.push({
          invariant: 7,
          record: `mail ${entry.message_id}`,
          what: 'no notification in the database tells of it',
        })
      else {
        const came = (arrived.get(row.id) ?? 0) + 1
        arrived.set(row.id, came)
        if (begunAt(row).filter((begun) => begun <= at).length < came)
          violations.push({
            invariant: 7,
            record: `notification ${row.id}`,
            what:
              `a mail arrived at ${entry.at}, number ${came}, the intents to send are of ` +
              (begunAt(row)
                .map((begun) => begun.toISOString())
                .join(' and ') || 'never'),
          })
      }
    }
    if (entry.what === 'exchange' && entry.code_no !== undefined) {
      looked += 1
      const senders = rows.get(entry.code_no) ?? []
      if (senders.length === 0)
        violations.push({
          invariant: 7,
          record: `code ${entry.code_no}`,
          what: 'was sent, but no authorisation tells of it',
        })
      else {
        const sent = (records.sends.get(entry.code_no) ?? []).filter(({ seq }) => seq <= entry.seq).length
        const intended = senders
          .flatMap((row) => records.intents.get(row.id) ?? [])
          .filter((intent) => intent <= at).length
        if (intended < sent)
          violations.push({
            invariant: 7,
            record: `authorisation ${senders[0]?.id}`,
            what: `its code was sent ${sent} times by ${entry.at}, intended ${intended} times`,
          })
      }
    }
  }
  return {
    invariant: 7,
    says: 'every effect outside has an intent that was committed before it',
    looked,
    violations,
    notes: [],
  }
}

/**
 * Rejections for this many connections open the circuit; while it is open, one trial call a minute asks whether the
 * rejections are over.
 */
const STRIKES = 3
/**
 * A minute, minus the delay of a slow machine. The ledger records a trial call that a fault held up as late as the
 * fault made it.
 */
const ASKED_EVERY_MS = 55_000
/**
 * A credential check makes two requests, and the clock may jump between them: it began at most this long before the
 * recorded request.
 */
const QUESTION_TAKES_MS = 1_500

/**
 * Codes that no bank gave. A forged code that came with a valid state has an authorisation and intents like any other
 * code. All others can only be trial calls that ask whether the provider knows us (`checkCredentials`), sent while the
 * circuit is open and once a minute.
 */
export const madeUpCodes: Check = ({ records, crowd, rig: { clock } }) => {
  const violations: Violation[] = []
  const forged = crowd.forged
    .flatMap(({ state }) => {
      const row = records.byState.get(sha256Hex(state))
      return row === undefined ? [] : (records.intents.get(row.id) ?? []).map((at) => at.getTime())
    })
    .toSorted((a, b) => a - b)
  let [rejections, looked, questions, asForged] = [0, 0, 0, 0]
  let [lastAsked, lastBegun] = [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY]
  let wasLate = false
  for (const entry of records.ledger) {
    const at = new Date(entry.at).getTime()
    if (entry.outcome === 'invalid_client') rejections += 1
    if (entry.what !== 'exchange' || entry.code_no !== undefined) continue
    looked += 1
    if (forged[0] !== undefined && forged[0] <= at) {
      forged.shift()
      asForged += 1
      continue
    }
    questions += 1
    const record = `request ${entry.seq} with a code that no bank gave`
    if (rejections < STRIKES)
      violations.push({
        invariant: 7,
        record,
        what: `was sent at ${entry.at}, before ${STRIKES} connections had been rejected`,
      })
    else if (at - lastBegun < ASKED_EVERY_MS && !wasLate)
      violations.push({
        invariant: 7,
        record,
        what:
          `asks whether the provider knows us ${Math.round((at - lastAsked) / 1000)} s after the last such ` +
          'question',
      })
    lastAsked = at
    lastBegun = clock.shownAt(clock.realAt(new Date(at)) - QUESTION_TAKES_MS)
    wasLate = entry.fault !== undefined
  }
  return {
    invariant: 7,
    says:
      'a code that no bank gave is sent only as our question whether we are known, or because it came with a ' +
      'valid state',
    looked,
    violations,
    notes:
      looked === 0
        ? []
        : [
            `${questions} questions while the circuit was open, ${asForged} forged codes that had come with a ` +
              'valid state',
          ],
  }
}

export const linksOnce: Check = ({ crowd }) => ({
  invariant: 7,
  says: 'no link to the bank is handed out twice',
  looked: crowd.bankLinks.size,
  notes: [],
  violations: [...crowd.bankLinks]
    .filter(([, times]) => times > 1)
    .map(([link, times]) => ({
      invariant: 7,
      record: `bank link ${new URL(link).pathname.slice(0, 40)}…`,
      what: `was handed out ${times} times`,
    })),
})
