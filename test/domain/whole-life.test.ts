// Properties of a consent's whole life, without a database: the test jumps to each date that the domain names and does
// what it says, until the consent lapses.
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { type DateTime, Duration } from 'luxon'
import { expect, test } from 'vitest'
import { nextAction } from '../../src/domain/next-action.ts'
import type { AuthorisationStatus, ConsentView } from '../../src/domain/model.ts'
import type { Policy } from '../../src/domain/policy.ts'
import { isQuiet } from '../../src/domain/quiet-hours.ts'
import { graceEndOf, ruleFor } from '../../src/domain/rules.ts'
import { aPolicy } from '../builders.ts'
import { aLink, aMessage, aRenewal, consentAt, EXPIRY } from './a-cycle.ts'

const zones = ['UTC', 'Europe/London', 'America/New_York', 'Pacific/Apia', 'Asia/Kolkata', 'Australia/Lord_Howe']
const offsets = fc.uniqueArray(fc.integer({ min: -60, max: 95 }), { maxLength: 12 })
const rungName = (days: number): string => (days > 0 ? `+${days}d` : `${days}d`)
const hour = fc.integer({ min: 0, max: 23 }).map((h) => `${String(h).padStart(2, '0')}:00`)

const policies: fc.Arbitrary<Policy> = fc
  .record({
    days: offsets,
    quiet: fc.oneof(
      fc.constant(false as const),
      fc.record({ from: hour, to: hour }).filter(({ from, to }) => from !== to),
    ),
    spreadHours: fc.integer({ min: 0, max: 48 }),
    graceDays: fc.integer({ min: 0, max: 120 }),
    full: fc.boolean(),
    asks: fc.boolean(),
  })
  .map(({ days, quiet, spreadHours, graceDays, full, asks }) =>
    aPolicy({
      ladder: days.map((one) => ({ name: rungName(one), days: one })),
      quietHours: quiet,
      spread: spreadHours === 0 ? false : Duration.fromObject({ hours: spreadHours }),
      routes: full ? ['reauth', 'full'] : ['reauth'],
      afterGrace: asks ? 'ask-once' : 'nothing',
      providers: { GB: { grace: Duration.fromObject({ days: graceDays }) } },
    }),
  )

const starts = fc.record({
  zone: fc.constantFrom(...zones),
  daysBefore: fc.integer({ min: -130, max: 200 }),
  minutes: fc.integer({ min: 0, max: 1439 }),
  id: fc.uuid(),
})

interface Lived {
  readonly steps: number
  readonly end: string
  readonly messages: readonly { readonly rung: string; readonly at: DateTime }[]
}

/** The view after the store has committed one step. */
const committed = (
  view: ConsentView,
  now: DateTime,
  next: Extract<ReturnType<typeof nextAction>, { action: 'renew' }>,
): ConsentView => ({
  consent: view.consent,
  renewal: view.renewal ?? aRenewal({ openedAt: now }),
  authorisations: next.makeLink
    ? [...view.authorisations, aLink('0d', { issuedAt: now, expiresAt: now.plus({ hours: 24 }) })]
    : view.authorisations,
  notifications:
    next.message === undefined
      ? view.notifications
      : [...view.notifications, aMessage(next.message.rung, '0d', { id: randomUUID(), createdAt: now, sentAt: now })],
})

/**
 * `late`: how long after each date the worker looks, as after a full queue or an outage; `disturb`: what happens
 * between two looks.
 */
const live = (
  policy: Policy,
  start: ConsentView,
  from: DateTime,
  options: {
    late?: (step: number) => Duration
    disturb?: (view: ConsentView, now: DateTime, step: number) => ConsentView
  } = {},
): Lived => {
  let view = start
  let now = from
  const messages: { rung: string; at: DateTime }[] = []
  for (let steps = 0; steps < 1000; steps += 1) {
    view = options.disturb?.(view, now, steps) ?? view
    const next = nextAction(view, now, policy)
    if (next.action === 'wait') {
      expect(next.at > now, `waits for the past: ${next.reason}`).toBe(true)
      now = next.at.plus(options.late?.(steps) ?? 0)
      continue
    }
    if (next.action !== 'renew') return { steps, end: next.action, messages }
    if (next.message !== undefined) messages.push({ rung: next.message.rung, at: now })
    view = committed(view, now, next)
    const after = nextAction(view, now, policy)
    expect(after.action, `after a step at ${now.toISO()}: ${after.reason}`).toBe('wait')
    expect(after.action === 'wait' && after.at > now).toBe(true)
  }
  throw new Error('it never ends')
}

const lifeOf = (
  { zone, daysBefore, minutes, id }: { zone: string; daysBefore: number; minutes: number; id: string },
  policy: Policy,
) => {
  const expiresAt = EXPIRY.startOf('day').plus({ minutes })
  const consent = consentAt({ id, timeZone: zone, expiresAt })
  const view: ConsentView = { consent, renewal: undefined, authorisations: [], notifications: [] }
  return {
    view,
    from: expiresAt.minus({ days: daysBefore }),
    graceEndsAt: graceEndOf(expiresAt, ruleFor(consent.providerId, consent.country, policy)),
  }
}

const noRungTwice = ({ messages }: Lived): void =>
  expect(new Set(messages.map(({ rung }) => rung)).size).toBe(messages.length)
/** Past grace, only a person, the policy's one message and one to a user who came back in vain are left. */
const silentPastGrace = ({ messages }: Lived, graceEndsAt: DateTime): void => {
  const unasked = messages.filter(({ rung, at }) => at >= graceEndsAt && !rung.startsWith('manual-'))
  expect(unasked.filter(({ rung }) => rung !== 'after-grace' && !rung.startsWith('again-'))).toEqual([])
  expect(unasked.length).toBeLessThanOrEqual(1)
}

test('left alone: it ends in bounded steps, each rung at most once, never in quiet hours, nothing past grace', () => {
  fc.assert(
    fc.property(policies, starts, (policy, start) => {
      const { view, from, graceEndsAt } = lifeOf(start, policy)
      const lived = live(policy, view, from)
      expect(lived.end).toBe('lapse')
      // Rungs and weekly proofs, each with the look before it; the expiry; the end.
      expect(lived.steps).toBeLessThanOrEqual(2 * (policy.ladder.length + (60 + 120 + 30) / 7 + 6))
      noRungTwice(lived)
      silentPastGrace(lived, graceEndsAt)
      // An imported consent's first look may come at any time; its message then waits for the morning in the sender.
      const asDated = lived.messages.filter(({ rung, at }) => at > from && rung !== 'after-grace')
      expect(asDated.filter(({ at }) => isQuiet(at, start.zone, policy.quietHours))).toEqual([])
      if (lived.messages.length > 1)
        expect(lived.messages.every(({ at }, index, all) => index === 0 || at > all[index - 1]!.at)).toBe(true)
    }),
    { numRuns: 200 },
  )
})

test('looked at at any time between two dates, nothing is due and the date stays', () => {
  fc.assert(
    fc.property(
      policies,
      starts,
      fc.array(fc.double({ min: 0, max: 0.999_999, noNaN: true }), { minLength: 5, maxLength: 5 }),
      (policy, start, shares) => {
        const { view: first, from } = lifeOf(start, policy)
        let view = first
        let now = from
        for (let step = 0; step < 200; step += 1) {
          const next = nextAction(view, now, policy)
          if (next.action === 'renew') view = committed(view, now, next)
          else if (next.action !== 'wait') return
          else {
            for (const share of shares) {
              const between = now.plus({ milliseconds: Math.floor(next.at.diff(now).toMillis() * share) })
              const look = nextAction(view, between, policy)
              expect(
                [look.action, look.action === 'wait' && look.at.toMillis()],
                `at ${between.toISO()}: ${look.reason}`,
              ).toEqual(['wait', next.at.toMillis()])
            }
            now = next.at
          }
        }
        throw new Error('it never ends')
      },
    ),
    { numRuns: 100 },
  )
})

test('late workers, users at the bank, failing codes, requests by hand: bounded, each rung at most once', () => {
  const disturbances = fc.array(
    fc.record({
      step: fc.integer({ min: 0, max: 40 }),
      kind: fc.constantFrom('left', 'refused', 'unknown', 'awaited', 'again', 'manual', 'backs-off'),
    }),
    { maxLength: 12 },
  )
  fc.assert(
    fc.property(
      policies,
      starts,
      disturbances,
      fc.array(fc.integer({ min: 0, max: 9 * 24 }), { minLength: 1, maxLength: 20 }),
      (policy, start, disturbed, lateHours) => {
        const { view, from, graceEndsAt } = lifeOf(start, policy)
        const lived = live(policy, view, from, {
          late: (step) => Duration.fromObject({ hours: lateHours[step % lateHours.length] ?? 0 }),
          disturb: (seen, now, step) =>
            disturbed
              .filter((one) => one.step === step)
              .reduce((current, { kind }) => happen(current, now, kind), seen),
        })
        expect(lived.end).toBe('lapse')
        expect(lived.steps).toBeLessThanOrEqual(400)
        noRungTwice(lived)
        silentPastGrace(lived, graceEndsAt)
      },
    ),
    { numRuns: 200 },
  )
})

/** What users, banks, operators and outages do to a view. */
const happen = (view: ConsentView, now: DateTime, kind: string): ConsentView => {
  if (kind === 'backs-off')
    return {
      ...view,
      consent: {
        ...view.consent,
        retryAfter: now.plus({ hours: 24 }),
        failedAttempts: 1,
        lastErrorCode: 'link-rejected',
      },
    }
  const { renewal } = view
  if (renewal === undefined) return view
  if (kind === 'manual') return { ...view, renewal: { ...renewal, manualNo: renewal.manualNo + 1 } }
  if (kind === 'again') {
    const inVain = aLink('0d', { issuedAt: now, status: 'refused', codeReceivedAt: now, closedAt: now })
    return {
      ...view,
      renewal: { ...renewal, againNo: renewal.againNo + 1, againReason: 'asked-again' },
      authorisations: [...view.authorisations, inVain],
    }
  }
  const statuses: Readonly<Record<string, AuthorisationStatus>> = {
    left: 'issued',
    refused: 'refused',
    awaited: 'awaiting_date',
  }
  const status = statuses[kind] ?? 'in_doubt'
  const codeReceivedAt = kind === 'unknown' || kind === 'awaited' ? now : undefined
  return {
    ...view,
    authorisations: [...view.authorisations, aLink('0d', { issuedAt: now, handedOutAt: now, status, codeReceivedAt })],
  }
}
