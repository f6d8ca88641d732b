import { randomUUID } from 'node:crypto'
import { Duration } from 'luxon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { StaleClaim } from '../../src/errors.ts'
import { makeVault } from '../../src/crypto/vault.ts'
import type { ConsentStatus } from '../../src/domain/model.ts'
import { nextAction } from '../../src/domain/next-action.ts'
import type { Policy } from '../../src/domain/policy.ts'
import { Secret } from '../../src/secret.ts'
import type { ImportRow } from '../../src/store/administration-port.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import { listing } from '../../src/store/listing.ts'
import { openStore } from '../../src/store/open-store.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { planting } from '../setup/plant.ts'

const vault = makeVault({ keys: ringOf('k1') })
const policy = aPolicy()
const withFull = aPolicy({ routes: ['reauth', 'full'] })
let opened: ReturnType<typeof openStore>
beforeAll(async () => {
  opened = openStore({ url: new Secret(await createDatabase()), vault, connections: 6 })
})
afterAll(async () => opened.close())

const admin = (used: Policy = policy) => administration(opened.db, used)
const request = { now: NOW, reason: 'a test asks', by: 'tester' }
const addConsent = async (over: Parameters<typeof aRow>[0] = {}): Promise<string> => {
  const row: ImportRow = aRow(over)
  await imports(opened.db, policy).importBatch([row], { now: NOW, correct: false })
  return (await opened.store.findConsent(row.credentialsId))?.id ?? ''
}
const read = async (id: string) => {
  const history = await listing(opened.db).getHistory(id)
  if (history === undefined) throw new Error('no such consent')
  return history
}
const setStatus = async (id: string, status: ConsentStatus): Promise<void> =>
  void (await planting(opened.db).consent.update({
    where: { id },
    data: { status, nextActionAt: status === 'active' ? NOW.toJSDate() : null, mismatches: 3 },
  }))
const addRenewal = async (id: string, status: 'open' | 'lapsed' | 'cancelled', manualNo = 0): Promise<string> => {
  const { consent } = await read(id)
  const renewalId = randomUUID()
  const at = NOW.toJSDate()
  await opened.db.prisma.renewal.create({
    data: {
      id: renewalId,
      consentId: id,
      cycle: consent.cycle,
      status,
      openedBy: 'system',
      reason: 'due',
      openedAt: at,
      manualNo,
      closedAt: status === 'open' ? null : at,
      previousExpiresAt: consent.expiresAt.toJSDate(),
    },
  })
  return renewalId
}
const addMessage = async (
  id: string,
  renewalId: string,
  rung: string,
  status: 'pending' | 'sent' | 'cancelled',
  sentAt = NOW,
): Promise<void> => {
  const { consent } = await read(id)
  await opened.db.prisma.notification.create({
    data: {
      id: randomUUID(),
      consentId: id,
      renewalId,
      cycle: consent.cycle,
      rung,
      channel: 'email',
      status,
      situation: 'reminder',
      createdAt: sentAt.toJSDate(),
      nextActionAt: status === 'pending' ? NOW.toJSDate() : null,
      sentAt: status === 'sent' ? sentAt.toJSDate() : null,
    },
  })
}
const nextOf = async (id: string, used: Policy = policy) => {
  const view = await opened.store.getView(id)
  return view === undefined ? undefined : nextAction(view, NOW, used)
}

describe('pausing', () => {
  test('takes a consent out of the loop, keeps its cycle, cancels unsent messages, fences the job', async () => {
    const id = await addConsent({ expiresAt: NOW.plus({ days: 3 }) })
    await addMessage(id, await addRenewal(id, 'open'), '-3d', 'pending')
    const answer = await opened.store.claim('consent', id, Duration.fromObject({ minutes: 1 }))
    expect(await admin().pauseConsent(id, request)).toMatchObject({ kind: 'done' })
    const { consent, renewals, notifications, events } = await read(id)
    expect(consent).toMatchObject({ status: 'paused', nextActionAt: undefined })
    expect(renewals).toMatchObject([{ status: 'open' }])
    expect(notifications).toMatchObject([{ status: 'cancelled' }])
    expect(events.at(-1)).toMatchObject({
      type: 'consent.paused',
      actor: 'operator',
      reason: 'a test asks',
      data: { by: 'tester' },
    })
    if (answer.kind !== 'claimed') throw new Error('not claimed')
    await expect(opened.store.scheduleConsent(answer.claim, NOW, 'late')).rejects.toThrow(StaleClaim)
  })

  test('twice changes nothing the second time', async () => {
    const id = await addConsent()
    await admin().pauseConsent(id, request)
    const before = await read(id)
    expect(await admin().pauseConsent(id, request)).toMatchObject({ kind: 'unchanged' })
    expect(await read(id)).toEqual(before)
  })

  test('and resuming dates it now, in the same cycle', async () => {
    const id = await addConsent()
    await addRenewal(id, 'open')
    await admin().pauseConsent(id, request)
    expect(await admin().resumeConsent(id, request)).toMatchObject({ kind: 'done' })
    expect((await read(id)).consent).toMatchObject({ status: 'active', cycle: 1 })
    expect((await read(id)).consent.nextActionAt?.toISO()).toBe(NOW.toISO())
    expect(await admin().resumeConsent(id, request)).toMatchObject({ kind: 'unchanged' })
  })
})

describe('an impossible request is refused with a reason, and changes nothing', () => {
  const table: Record<string, [ConsentStatus, (id: string) => Promise<{ kind: string; detail: string }>, RegExp]> = {
    'pausing a lapsed one': ['lapsed', async (id) => admin().pauseConsent(id, request), /has lapsed/],
    'pausing a closed one': ['revoked', async (id) => admin().pauseConsent(id, request), /for good/],
    'resuming a quarantined one': ['quarantined', async (id) => admin().resumeConsent(id, request), /release it/],
    'releasing a paused one': ['paused', async (id) => admin().releaseConsent(id, request), /resume it/],
    'closing one that is closed otherwise': [
      'revoked',
      async (id) => admin().closeForGood(id, 'opted_out', request),
      /for good/,
    ],
    'closing a superseded one': [
      'superseded',
      async (id) => admin().closeForGood(id, 'revoked', request),
      /newer connection/,
    ],
    'renewing a paused one': ['paused', async (id) => admin(withFull).requestRenewal(id, request), /resume it first/],
    'renewing a quarantined one': [
      'quarantined',
      async (id) => admin(withFull).requestRenewal(id, request),
      /release it/,
    ],
    'renewing a revoked one': [
      'revoked',
      async (id) => admin(withFull).requestRenewal(id, request),
      /import the new connection/,
    ],
    'renewing an unsupported one': [
      'unsupported',
      async (id) => admin(withFull).requestRenewal(id, request),
      /change the policy/,
    ],
    'renewing a lapsed one without the route full': [
      'lapsed',
      async (id) => admin().requestRenewal(id, request),
      /no route 'full'/,
    ],
  }
  test.each(Object.entries(table))('%s', async (_, [status, act, words]) => {
    const id = await addConsent()
    await setStatus(id, status)
    const before = await read(id)
    const answer = await act(id)
    expect(answer.kind).toBe('refused')
    expect(answer.detail).toMatch(words)
    expect(await read(id)).toEqual(before)
  })

  test('an id that nobody has', async () => {
    expect(await admin().pauseConsent(randomUUID(), request)).toEqual({
      kind: 'refused',
      detail: 'there is no such consent',
    })
    expect(await admin().showToken(randomUUID(), request)).toBeUndefined()
  })
})

describe('releasing', () => {
  test('takes a consent out of quarantine and counts its mistakes anew', async () => {
    const id = await addConsent()
    await setStatus(id, 'quarantined')
    expect(await admin().releaseConsent(id, request)).toMatchObject({ kind: 'done' })
    expect((await read(id)).consent).toMatchObject({ status: 'active', mismatches: 0, cycle: 1 })
    expect((await read(id)).events.at(-1)).toMatchObject({ type: 'consent.released', data: { from: 'quarantined' } })
    expect(await admin().releaseConsent(id, request)).toMatchObject({ kind: 'unchanged' })
  })

  test('takes an unsupported one back once the policy has a route, into a new cycle', async () => {
    const id = await addConsent({ providerId: 'fr-bank', country: 'FR' })
    await addRenewal(id, 'cancelled')
    await setStatus(id, 'unsupported')
    expect(await admin().releaseConsent(id, request)).toMatchObject({
      kind: 'refused',
      detail: expect.stringContaining('change the policy'),
    })
    expect(await admin(withFull).releaseConsent(id, request)).toMatchObject({ kind: 'done' })
    expect((await read(id)).consent).toMatchObject({ status: 'active', cycle: 2 })
  })

  test('refuses where the stored token does not decrypt: the consent would be quarantined again at once', async () => {
    const id = await addConsent()
    await setStatus(id, 'quarantined')
    await opened.db.prisma.consent.update({
      where: { id },
      data: { refreshToken: 'v1.gone.AAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAA' },
    })
    expect(await admin().releaseConsent(id, request)).toMatchObject({
      kind: 'refused',
      detail: expect.stringContaining('ENCRYPTION_KEYS'),
    })
  })
})

test('closing for good ends the cycle and records the status', async () => {
  const id = await addConsent({ expiresAt: NOW.plus({ days: 3 }) })
  await addMessage(id, await addRenewal(id, 'open'), '-3d', 'pending')
  expect(await admin().closeForGood(id, 'opted_out', request)).toMatchObject({ kind: 'done' })
  const { consent, renewals, notifications, events } = await read(id)
  expect(consent).toMatchObject({ status: 'opted_out', nextActionAt: undefined })
  expect(renewals).toMatchObject([{ status: 'cancelled' }])
  expect(notifications).toMatchObject([{ status: 'cancelled' }])
  expect(events.at(-1)).toMatchObject({ type: 'consent.closed', data: { as: 'opted_out' } })
  expect(await admin().closeForGood(id, 'opted_out', request)).toMatchObject({ kind: 'unchanged' })
})

describe('asking for a renewal by hand', () => {
  test('opens the cycle of a healthy consent early, and the next look sends one message', async () => {
    const id = await addConsent()
    expect(await nextOf(id)).toMatchObject({ action: 'wait' })
    expect(await admin().requestRenewal(id, request)).toMatchObject({ kind: 'done' })
    const { consent, renewals, events } = await read(id)
    expect(consent.nextActionAt?.toISO()).toBe(NOW.toISO())
    expect(renewals).toMatchObject([{ cycle: 1, status: 'open', manualNo: 1, reason: 'a test asks' }])
    expect(events.map(({ type }) => type)).toEqual(['consent.imported', 'renewal.opened', 'renewal.requested'])
    expect(await nextOf(id)).toMatchObject({ action: 'renew', makeLink: true, message: { rung: 'manual-1' } })
  })

  test('again before the message is made only looks again: it overrides a back-off', async () => {
    const id = await addConsent()
    await admin().requestRenewal(id, request)
    const later = NOW.plus({ days: 1 }).toJSDate()
    await opened.db.prisma.consent.update({
      where: { id },
      data: { retryAfter: later, nextActionAt: later, failedAttempts: 2, lastErrorCode: 'link-rejected' },
    })
    expect(await admin().requestRenewal(id, request)).toMatchObject({
      kind: 'done',
      detail: expect.stringContaining('asked for before'),
    })
    expect((await read(id)).renewals).toMatchObject([{ manualNo: 1 }])
    expect(await nextOf(id)).toMatchObject({ action: 'renew', message: { rung: 'manual-1' } })
  })

  test('again within a day of the message needs --resend; after a day it does not', async () => {
    const id = await addConsent()
    await admin().requestRenewal(id, request)
    const renewalId = (await read(id)).renewals[0]?.id ?? ''
    await addMessage(id, renewalId, 'manual-1', 'sent')
    const soon = { ...request, now: NOW.plus({ hours: 23, minutes: 59 }) }
    expect(await admin().requestRenewal(id, soon)).toMatchObject({
      kind: 'refused',
      detail: expect.stringContaining('--resend'),
    })
    expect(await admin().requestRenewal(id, { ...soon, resend: true })).toMatchObject({ kind: 'done' })
    expect((await read(id)).renewals).toMatchObject([{ manualNo: 2 }])
    await addMessage(id, renewalId, 'manual-2', 'sent')
    expect(await admin().requestRenewal(id, { ...request, now: NOW.plus({ hours: 24 }) })).toMatchObject({
      kind: 'done',
    })
    expect((await read(id)).renewals).toMatchObject([{ manualNo: 3 }])
  })

  test('while the message is on its way changes nothing', async () => {
    const id = await addConsent()
    await addMessage(id, await addRenewal(id, 'open', 1), 'manual-1', 'pending')
    expect(await admin().requestRenewal(id, request)).toMatchObject({ kind: 'unchanged' })
  })

  test('opens a lapsed consent and its renewal again, by full authentication', async () => {
    const id = await addConsent({ expiresAt: NOW.minus({ days: 100 }) })
    await addRenewal(id, 'lapsed')
    await setStatus(id, 'lapsed')
    expect(await admin(withFull).requestRenewal(id, request)).toMatchObject({
      kind: 'done',
      detail: expect.stringContaining('full authentication'),
    })
    const { consent, renewals } = await read(id)
    expect(consent).toMatchObject({ status: 'active', cycle: 1 })
    expect(renewals).toMatchObject([{ status: 'open', closedAt: undefined, route: 'full', manualNo: 1 }])
    expect(await nextOf(id, withFull)).toMatchObject({
      action: 'renew',
      routes: ['full'],
      makeLink: true,
      message: { rung: 'manual-1' },
    })
  })

  test('opens a cycle for a lapsed consent that never had one', async () => {
    const id = await addConsent({ expiresAt: NOW.minus({ days: 100 }) })
    await setStatus(id, 'lapsed')
    await admin(withFull).requestRenewal(id, request)
    expect((await read(id)).renewals).toMatchObject([{ cycle: 1, status: 'open', route: 'full' }])
  })

  test('is refused past grace without the route full, and without an address, with what to do', async () => {
    const late = await addConsent({ expiresAt: NOW.minus({ days: 91 }) })
    expect(await admin().requestRenewal(late, request)).toMatchObject({
      kind: 'refused',
      detail: expect.stringContaining("no route 'full'"),
    })
    const silent = await addConsent({ email: undefined })
    expect(await admin().requestRenewal(silent, request)).toMatchObject({
      kind: 'refused',
      detail: expect.stringContaining('no-channel'),
    })
  })

  test('at a bank that no route can renew is refused', async () => {
    const id = await addConsent({ country: 'FR' })
    expect(await admin().requestRenewal(id, request)).toMatchObject({
      kind: 'refused',
      detail: expect.stringContaining('no route of the policy'),
    })
  })

  test('twice at once asks the user once', async () => {
    const id = await addConsent()
    await Promise.all([1, 2, 3, 4].map(async () => admin().requestRenewal(id, request)))
    expect((await read(id)).renewals).toMatchObject([{ manualNo: 1 }])
  })
})

test('showing a token records an event, and the event holds no token', async () => {
  const id = await addConsent({ refreshToken: 'the-secret-token' })
  const shown = await admin().showToken(id, request)
  expect([shown?.token.reveal(), shown?.isCandidate]).toEqual(['the-secret-token', false])
  const { events } = await read(id)
  expect(events.at(-1)).toMatchObject({ type: 'token.shown', actor: 'operator', reason: 'a test asks' })
  expect(JSON.stringify(events)).not.toContain('the-secret-token')
})
