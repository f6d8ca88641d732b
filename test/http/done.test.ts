// The page after the bank, for every possible outcome of an attempt.
import { DateTime } from 'luxon'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AuthorisationStatus, ConsentStatus, RenewalStatus } from '../../src/domain/model.ts'
import { newDoneId } from '../../src/crypto/hashing.ts'
import { recheckSeconds } from '../../src/http/done-page-state.ts'
import { startWorld, type World } from '../setup/world.ts'
import { anAskedConsent, startWeb, theCallback, type Web } from './web.ts'
import { planting } from '../setup/plant.ts'

let world: World
let web: Web
beforeAll(async () => {
  world = await startWorld({ policy: { routes: ['reauth', 'full'] } })
  web = await startWeb(world)
})
afterAll(async () => {
  await web.close()
  await world.close()
})

/** An attempt in that status, with the fields of its cycle and consent that the page reads. */
const anAuthorisation = async (
  status: AuthorisationStatus,
  {
    renewal = 'open',
    consent: standing = 'active',
    errorCode,
  }: { renewal?: RenewalStatus; consent?: ConsentStatus; errorCode?: string } = {},
) => {
  const consent = await anAskedConsent(world)
  const [row] = await world.authorisationsOf(consent.id)
  if (row === undefined) throw new Error('no authorisation was made')
  const isOpen = ['issued', 'code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date'].includes(status)
  const at = world.clock.now().toJSDate()
  const came = [
    'code_received',
    'exchanging',
    'verifying',
    'in_doubt',
    'awaiting_date',
    'renewed',
    'mismatched',
  ].includes(status)
  await planting(world.db).authorisation.update({
    where: { id: row.id },
    data: { status, nextActionAt: isOpen ? at : null, codeReceivedAt: came ? at : null, errorCode: errorCode ?? null },
  })
  const proof = renewal === 'renewed' ? { proof: { basis: 'later-than-known' } } : {}
  await planting(world.db).renewal.update({
    where: { id: row.renewalId },
    data: { status: renewal, closedAt: renewal === 'open' ? null : at, ...proof },
  })
  if (standing !== 'active')
    await planting(world.db).consent.update({
      where: { id: consent.id },
      data: { status: standing, nextActionAt: null },
    })
  return { consent, path: `/done/${row.doneId}`, startPath: `/r/${await world.startToken(consent.id)}` }
}

describe('what the page says', () => {
  test.each<[AuthorisationStatus, Parameters<typeof anAuthorisation>[1], number, string]>([
    ['code_received', {}, 200, 'being checked'],
    ['exchanging', {}, 200, 'being checked'],
    ['verifying', {}, 200, 'being checked'],
    ['in_doubt', {}, 200, 'being checked'],
    ['awaiting_date', {}, 200, 'It can take up to a day until the new date is shown'],
    ['awaiting_date', {}, 200, 'There is nothing for you to do'],
    ['awaiting_date', { renewal: 'lapsed', consent: 'lapsed' }, 200, 'up to a day'],
    ['awaiting_date', { consent: 'paused' }, 200, 'up to a day'],
    ['awaiting_date', { renewal: 'renewed' }, 200, 'already renewed'],
    ['awaiting_date', { renewal: 'cancelled', consent: 'opted_out' }, 410, 'no longer in use'],
    ['code_received', { renewal: 'lapsed', consent: 'lapsed' }, 200, 'being checked'],
    ['renewed', { renewal: 'renewed' }, 200, 'The permission is renewed'],
    ['superseded', { renewal: 'renewed' }, 200, 'already renewed'],
    ['superseded', { renewal: 'repaired' }, 200, 'already renewed'],
    ['refused', { renewal: 'renewed', errorCode: 'bank-refused' }, 200, 'already renewed'],
    ['mismatched', { renewal: 'renewed' }, 200, 'already renewed'],
    ['expired', { renewal: 'cancelled', consent: 'revoked' }, 410, 'no longer in use'],
    ['refused', { renewal: 'cancelled', consent: 'opted_out', errorCode: 'bank-refused' }, 410, 'no longer in use'],
    ['mismatched', { consent: 'quarantined' }, 409, 'cannot be renewed at the moment'],
    ['issued', { consent: 'paused' }, 409, 'cannot be renewed at the moment'],
    ['refused', { consent: 'paused', errorCode: 'bank-refused' }, 409, 'cannot be renewed at the moment'],
    ['expired', { renewal: 'lapsed', consent: 'lapsed' }, 410, 'no longer in use'],
  ])('%s, %j: %i, %s', async (status, standing, code, words) => {
    const { path } = await anAuthorisation(status, standing)
    const answer = await web.get(path)
    expect([answer.status, answer.body]).toEqual([code, expect.stringContaining(words)])
    expect(answer.body).not.toContain('href="/r/')
  })

  test.each<[AuthorisationStatus, string | undefined, string]>([
    ['refused', 'bank-refused', 'did not confirm the renewal'],
    ['refused', 'grant-refused', 'could not be completed'],
    ['refused', 'not-renewed', 'could not be completed'],
    ['refused', 'code-too-old', 'could not be completed'],
    ['refused', 'token-invalid', 'could not be completed'],
    ['mismatched', 'other-connection', 'A different account was approved'],
  ])('%s (%s) shows the way back', async (status, errorCode, words) => {
    const { path, startPath } = await anAuthorisation(status, errorCode === undefined ? {} : { errorCode })
    const answer = await web.get(path)
    expect([answer.status, answer.body]).toEqual([200, expect.stringContaining(words)])
    expect(answer.body).toContain(`href="${startPath}"`)
    expect(answer.body.includes('declined')).toBe(errorCode === 'bank-refused')
  })

  test.each<AuthorisationStatus>(['issued', 'expired', 'superseded'])(
    '%s in an open cycle leads to the start page',
    async (status) => {
      const { path, startPath } = await anAuthorisation(status)
      const answer = await web.get(path)
      expect([answer.status, answer.location]).toEqual([303, startPath])
    },
  )

  test.each(['x', newDoneId(), '%00', '-'.repeat(22), '%', 'a'.repeat(300), '..%2f'])(
    'an unknown id (%#): a neutral page',
    async (id) => {
      const answer = await web.get(`/done/${id}`)
      expect(answer.status).toBe(404)
      expect(answer.body).not.toContain('Brightside')
    },
  )
})

describe('a whole visit', () => {
  test('approved: being checked, reloads by itself, then renewed until the new date', async () => {
    const consent = await anAskedConsent(world)
    const { location } = await web.get(`/callback?${await theCallback(world, consent.id)}`)
    const checking = await web.get(location)
    expect(checking.body).toContain(`<meta http-equiv="refresh" content="4; url=${location}">`)
    await world.drain()
    const renewed = await web.get(location)
    const until = (await world.consentOf(consent.id)).expiresAt
      .setZone('Europe/London')
      .setLocale('en-GB')
      .toLocaleString(DateTime.DATE_FULL)
    expect(renewed.body).toContain(`now runs until ${until}`)
    expect(renewed.body).not.toContain('http-equiv="refresh"')
  })

  test('denied: the way back leads to a new link', async () => {
    const consent = await anAskedConsent(world)
    const { location } = await web.get(`/callback?${await theCallback(world, consent.id, 'deny')}`)
    const refused = await web.get(location)
    expect(refused.body).toContain('was not renewed')
    const [, back = ''] = /href="(\/r\/[^"]+)"/.exec(refused.body) ?? []
    expect((await web.get(back)).status).toBe(200)
    expect((await web.post(back)).status).toBe(303)
  })

  test('the new date comes late: the page says so, does not reload, and shows the outcome later', async () => {
    world.simulator.switches.set({ me_lag_seconds: 5 * 3600 })
    const consent = await anAskedConsent(world)
    const { location } = await web.get(`/callback?${await theCallback(world, consent.id)}`)
    for (const minutes of [0, 11]) {
      world.clock.advance({ minutes })
      await world.drain()
    }
    const awaiting = await web.get(location)
    expect(awaiting.body).toContain('the new date is still to come')
    expect(awaiting.body).not.toContain('http-equiv="refresh"')
    expect(awaiting.body).toContain(`href="${location}"`)
    world.clock.advance({ hours: 6 })
    await world.drain()
    expect((await web.get(location)).body).toContain('now runs until')
    world.simulator.switches.reset()
  })

  test('another user: told so', async () => {
    const consent = await anAskedConsent(world)
    const { location } = await web.get(`/callback?${await theCallback(world, consent.id, 'somebody-else')}`)
    await world.drain()
    expect((await web.get(location)).body).toContain('A different account was approved')
  })

  test('route full: renewed until the date of the connection that took its place', async () => {
    const consent = await anAskedConsent(world, {
      providerId: 'de-sparkasse',
      country: 'DE',
      providerName: 'Sparkasse',
    })
    const { location } = await web.get(`/callback?${await theCallback(world, consent.id)}`)
    await world.drain()
    const old = await world.consentOf(consent.id)
    expect(old.status).toBe('superseded')
    const successor = await world.consentOf(old.supersededById ?? '')
    const until = successor.expiresAt.setZone('Europe/London').setLocale('en-GB').toLocaleString(DateTime.DATE_FULL)
    expect((await web.get(location)).body).toContain(`now runs until ${until}`)
  })
})

describe('reloading by itself', () => {
  const came = DateTime.fromISO('2026-03-02T10:00:00Z')
  test.each([
    ['at once', 0, 4],
    ['the second before two minutes', 119, 4],
    ['at two minutes', 120, undefined],
    ['later', 3600, undefined],
  ])('%s', (_, seconds, expected) => {
    expect(recheckSeconds(came, came.plus({ seconds }))).toBe(expected)
  })
  test('without a code', () => {
    expect(recheckSeconds(undefined, came)).toBeUndefined()
  })
})
