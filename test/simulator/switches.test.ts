// Every switch changes what its name says. The list at the end fails when a new switch has no test.
import { expect, test } from 'vitest'
import type { Simulator } from '../../simulator/src/start-simulator.ts'
import { makeSwitches, switchNames } from '../../simulator/src/switches.ts'
import type { SwitchName, SwitchValues } from '../../simulator/src/switches.ts'
import {
  OTHER_REDIRECT,
  START,
  aCode,
  aConnection,
  aLink,
  aSimulator,
  callbackOf,
  claimsOf,
  exchange,
  get,
  me,
  reauth,
  refresh,
} from './a-simulator.ts'

type Case = (simulator: Simulator) => Promise<void>
interface Checked {
  readonly set: Partial<SwitchValues>
  readonly check: Case
}

const renewed = async (simulator: Simulator, refreshToken: string) =>
  (await exchange(simulator, await aCode(simulator, refreshToken))).body
const meOf = async (simulator: Simulator, accessToken: string) => (await me(simulator, accessToken)).body.results[0]

const cases: Record<SwitchName, readonly Checked[]> = {
  unknown_token: [
    {
      set: { unknown_token: 'invalid_grant' },
      check: async (simulator) => {
        const { status, body } = await reauth(simulator, 'never-issued')
        expect([status, body.error]).toEqual([400, 'invalid_grant'])
      },
    },
  ],
  non_uk: [
    {
      set: { non_uk: 400 },
      check: async (simulator) => {
        const { refreshToken } = aConnection(simulator, { providerId: 'de-xs2a-sparkasse', country: 'DE' })
        const { status, body } = await reauth(simulator, refreshToken)
        expect([status, body.error, body.error_details.reason]).toEqual([
          400,
          'invalid_request',
          'provider_not_supported',
        ])
      },
    },
  ],
  redirect_mismatch: [
    {
      set: { redirect_mismatch: 'lenient' },
      check: async (simulator) => {
        const { refreshToken } = aConnection(simulator)
        const link = await aLink(simulator, refreshToken, { redirect_uri: OTHER_REDIRECT })
        const played = await simulator.play({ link, as: 'approve' })
        expect(played).toMatchObject({ kind: 'callback', url: expect.stringMatching(`^${OTHER_REDIRECT}`) })
      },
    },
  ],
  link_success: [
    {
      set: { link_success: false },
      check: async (simulator) => {
        const { status, body } = await reauth(simulator, aConnection(simulator).refreshToken)
        expect([status, body]).toEqual([200, { success: false }])
        expect(simulator.ledger.count({ what: 'reauthuri', outcome: 'ok' })).toBe(0)
      },
    },
  ],
  link_result: (
    [
      ['not-https', expect.stringMatching(/^http:\/\/bank\.example\//)],
      ['not-a-url', expect.stringMatching(/^bank\.example \//)],
      ['missing', undefined],
    ] as const
  ).map(([link_result, result]) => ({
    set: { link_result },
    check: async (simulator) => {
      const { status, body } = await reauth(simulator, aConnection(simulator).refreshToken)
      expect([status, body.success, body.result]).toEqual([200, true, result])
    },
  })),
  link_life_seconds: [
    {
      set: { link_life_seconds: 60 },
      check: async (simulator) => {
        const link = await aLink(simulator, aConnection(simulator).refreshToken)
        simulator.clock.advance({ seconds: 61 })
        expect((await get(link)).status).toBe(410)
      },
    },
  ],
  link_use: [
    {
      set: { link_use: 'decision' },
      check: async (simulator) => {
        const link = await aLink(simulator, aConnection(simulator).refreshToken)
        expect([(await get(link)).status, (await get(link)).status]).toEqual([200, 200])
        expect((await simulator.play({ link, as: 'close' })).kind).toBe('closed')
        expect((await get(link)).status).toBe(410)
      },
    },
    {
      set: { link_use: 'unlimited' },
      check: async (simulator) => {
        const link = await aLink(simulator, aConnection(simulator).refreshToken)
        const codes = [await callbackOf(simulator, link, 'approve'), await callbackOf(simulator, link, 'approve')].map(
          (callback) => callback.get('code'),
        )
        expect(new Set(codes).size).toBe(2)
      },
    },
  ],
  code_life_seconds: [
    {
      set: { code_life_seconds: 10 },
      check: async (simulator) => {
        const code = await aCode(simulator, aConnection(simulator).refreshToken)
        simulator.clock.advance({ seconds: 11 })
        expect((await exchange(simulator, code)).body.error_details.reason).toBe('too_old')
      },
    },
  ],
  code_reuse: [
    {
      set: { code_reuse: 'refuse' },
      check: async (simulator) => {
        const { refreshToken } = aConnection(simulator)
        const code = await aCode(simulator, refreshToken)
        const { body } = await exchange(simulator, code)
        expect((await exchange(simulator, code)).body.error_details.reason).toBe('reused')
        expect((await me(simulator, body.access_token)).status).toBe(200)
      },
    },
  ],
  validity_days: [
    {
      set: { validity_days: 180 },
      check: async (simulator) => {
        const { refreshToken, credentialsId, dates } = aConnection(simulator, { consentedAt: START })
        expect(dates.expiresAt).toEqual(START.plus({ days: 180 }))
        await renewed(simulator, refreshToken)
        const days = simulator.connection(credentialsId)?.dates.expiresAt.diff(simulator.clock.now(), 'days').days
        expect(days).toBeCloseTo(180, 2)
      },
    },
  ],
  grace_days: [
    {
      set: { grace_days: 5 },
      check: async (simulator) => {
        const { refreshToken, dates } = aConnection(simulator)
        simulator.clock.set(dates.expiresAt.plus({ days: 4 }))
        expect((await reauth(simulator, refreshToken)).status).toBe(200)
        simulator.clock.set(dates.expiresAt.plus({ days: 5, seconds: 1 }))
        expect((await reauth(simulator, refreshToken)).body.error_details.reason).toBe('past_grace')
      },
    },
  ],
  renews_at: [
    {
      set: { renews_at: 'approval' },
      check: async (simulator) => {
        const { refreshToken, credentialsId } = aConnection(simulator)
        const code = await aCode(simulator, refreshToken)
        expect(simulator.ledger.count({ what: 'renewed', credentials_id: credentialsId })).toBe(1)
        const approvedUntil = simulator.connection(credentialsId)?.dates.expiresAt
        simulator.clock.advance({ minutes: 4 })
        expect((await exchange(simulator, code)).status).toBe(200)
        expect(simulator.ledger.count({ what: 'renewed', credentials_id: credentialsId })).toBe(1)
        expect(simulator.connection(credentialsId)?.dates.expiresAt).toEqual(approvedUntil)
      },
    },
  ],
  created_at: [
    {
      set: { created_at: 'moved' },
      check: async (simulator) => {
        const shown = await meOf(
          simulator,
          (await renewed(simulator, aConnection(simulator).refreshToken)).access_token,
        )
        expect(shown.consent_created_at).toBe(shown.consent_status_updated_at)
      },
    },
  ],
  rotate_refresh_tokens: (
    [
      ['on-reauth', true, false],
      ['on-refresh', false, true],
      ['always', true, true],
      ['never', false, false],
    ] as const
  ).map(([rotate_refresh_tokens, onReauth, onRefresh]) => ({
    set: { rotate_refresh_tokens },
    check: async (simulator) => {
      const { refreshToken } = aConnection(simulator)
      const afterReauth = (await renewed(simulator, refreshToken)).refresh_token
      expect(afterReauth !== refreshToken).toBe(onReauth)
      const afterRefresh = (await refresh(simulator, afterReauth)).body.refresh_token
      expect(afterRefresh !== afterReauth).toBe(onRefresh)
      expect((await refresh(simulator, refreshToken)).status).toBe(onReauth || onRefresh ? 400 : 200)
    },
  })),
  replaced_token: [
    {
      set: { replaced_token: 'refused', rotate_refresh_tokens: 'on-refresh' },
      check: async (simulator) => {
        const { refreshToken } = aConnection(simulator)
        await refresh(simulator, refreshToken)
        const { status, body } = await reauth(simulator, refreshToken)
        expect([status, body.error_details.reason]).toEqual([401, 'unknown_token'])
      },
    },
    {
      set: { replaced_token: 'accepted', rotate_refresh_tokens: 'on-refresh' },
      check: async (simulator) => {
        const { refreshToken, credentialsId } = aConnection(simulator)
        const { refresh_token: second } = (await refresh(simulator, refreshToken)).body
        await refresh(simulator, second)
        expect((await renewed(simulator, refreshToken)).refresh_token).toBe(
          simulator.connection(credentialsId)?.refreshToken,
        )
        // Only a link can be made with it.
        expect((await refresh(simulator, refreshToken)).body.error).toBe('invalid_grant')
        expect((await reauth(simulator, 'never-issued')).status).toBe(401)
      },
    },
  ],
  return_refresh_token: [
    {
      set: { return_refresh_token: false },
      check: async (simulator) => {
        const { refreshToken } = aConnection(simulator)
        expect(await renewed(simulator, refreshToken)).not.toHaveProperty('refresh_token')
        expect((await refresh(simulator, refreshToken)).body).not.toHaveProperty('refresh_token')
      },
    },
  ],
  return_scope: [
    {
      set: { return_scope: false },
      check: async (simulator) => {
        const { refreshToken } = aConnection(simulator)
        expect((await refresh(simulator, refreshToken)).body).not.toHaveProperty('scope')
        simulator.switches.set({ return_scope: true })
        expect((await refresh(simulator, refreshToken)).body.scope).toBe(
          'info accounts balance transactions offline_access',
        )
      },
    },
  ],
  idle_token_days: [
    {
      set: { idle_token_days: 30 },
      check: async (simulator) => {
        const { refreshToken } = aConnection(simulator, { consentedAt: START })
        simulator.clock.advance({ days: 29 })
        expect((await refresh(simulator, refreshToken)).status).toBe(200)
        simulator.clock.advance({ days: 31 })
        expect((await refresh(simulator, refreshToken)).body.error_details.reason).toBe('idle_token')
        expect((await reauth(simulator, refreshToken)).status).toBe(401)
      },
    },
  ],
  unknown_refresh: [
    {
      set: { unknown_refresh: 'invalid_client' },
      check: async (simulator) => {
        const { status, body } = await refresh(simulator, 'garbage')
        expect([status, body.error]).toEqual([400, 'invalid_client'])
      },
    },
  ],
  invalid_client_until: [
    {
      set: { invalid_client_until: START.plus({ minutes: 5 }).toISO() },
      check: async (simulator) => {
        const { refreshToken } = aConnection(simulator)
        const code = await aCode(simulator, refreshToken)
        expect((await exchange(simulator, code)).body.error).toBe('invalid_client')
        expect((await refresh(simulator, refreshToken)).body.error).toBe('invalid_client')
        simulator.switches.set({ code_life_seconds: 3600 })
        simulator.clock.advance({ minutes: 5 })
        expect((await exchange(simulator, code)).status).toBe(200)
      },
    },
  ],
  access_token: [
    {
      set: { access_token: 'jwt-without-sub' },
      check: async (simulator) => {
        const { access_token } = await renewed(simulator, aConnection(simulator).refreshToken)
        expect(claimsOf(access_token)).not.toHaveProperty('sub')
        expect((await me(simulator, access_token)).status).toBe(200)
      },
    },
    {
      set: { access_token: 'opaque' },
      check: async (simulator) => {
        const { access_token } = await renewed(simulator, aConnection(simulator).refreshToken)
        expect(access_token).not.toContain('.')
        expect((await me(simulator, access_token)).status).toBe(200)
      },
    },
  ],
  access_token_life_seconds: [
    {
      set: { access_token_life_seconds: 60 },
      check: async (simulator) => {
        const { access_token, expires_in } = await renewed(simulator, aConnection(simulator).refreshToken)
        expect(expires_in).toBe(60)
        simulator.clock.advance({ seconds: 60 })
        expect((await me(simulator, access_token)).status).toBe(401)
      },
    },
  ],
  me_dates: (
    [
      ['no-expiry', ['consent_created_at', 'consent_status', 'consent_status_updated_at']],
      ['none', ['consent_status']],
    ] as const
  ).map(([me_dates, fields]) => ({
    set: { me_dates },
    check: async (simulator) => {
      const shown = await meOf(simulator, (await renewed(simulator, aConnection(simulator).refreshToken)).access_token)
      expect(
        Object.keys(shown)
          .filter((field) => field.startsWith('consent_'))
          .toSorted(),
      ).toEqual(fields)
    },
  })),
  me_lag_seconds: [
    {
      set: { me_lag_seconds: 600 },
      check: async (simulator) => {
        const { refreshToken, credentialsId, dates } = aConnection(simulator)
        const { access_token } = await renewed(simulator, refreshToken)
        expect((await meOf(simulator, access_token)).consent_expires_at).toBe(dates.expiresAt.toISO())
        simulator.clock.advance({ minutes: 10, seconds: 1 })
        expect((await meOf(simulator, access_token)).consent_expires_at).toBe(
          simulator.connection(credentialsId)?.dates.expiresAt.toISO(),
        )
      },
    },
  ],
  somebody_else: [
    {
      set: { somebody_else: 'other-provider' },
      check: async (simulator) => {
        const code = await aCode(simulator, aConnection(simulator).refreshToken, 'somebody-else')
        const shown = await meOf(simulator, (await exchange(simulator, code)).body.access_token)
        expect(shown.provider.provider_id).toBe('uk-cs-mock')
      },
    },
  ],
  deny_error: [
    {
      set: { deny_error: 'user_changed_mind' },
      check: async (simulator) => {
        const link = await aLink(simulator, aConnection(simulator).refreshToken)
        expect((await callbackOf(simulator, link, 'deny')).get('error')).toBe('user_changed_mind')
      },
    },
  ],
  bank_error: [
    {
      set: { bank_error: 'temporarily_unavailable' },
      check: async (simulator) => {
        const link = await aLink(simulator, aConnection(simulator).refreshToken)
        expect((await callbackOf(simulator, link, 'bank-error')).get('error')).toBe('temporarily_unavailable')
      },
    },
  ],
  error_description: [
    {
      set: { error_description: false },
      check: async (simulator) => {
        const link = await aLink(simulator, aConnection(simulator).refreshToken)
        expect([...(await callbackOf(simulator, link, 'deny')).keys()]).toEqual(['error', 'state'])
      },
    },
  ],
}

const named = Object.values(cases)
  .flat()
  .map((one) => [Object.entries(one.set).flat().join(' = '), one] as const)

test.each(named)('%s', async (_name, { set, check }) => {
  await check(await aSimulator({ switches: set }))
})

test('every switch is tested', () => {
  expect(Object.keys(cases).toSorted()).toEqual([...switchNames].toSorted())
  for (const checked of Object.values(cases)) expect(checked.length).toBeGreaterThan(0)
})

test('an unknown switch or a wrong value is refused, with the known ones, and changes nothing', () => {
  const switches = makeSwitches()
  const before = switches.all()
  expect(() => switches.set({ validity_days: 1, me_date: 'none' } as Partial<SwitchValues>)).toThrow(
    /unknown switch "me_date".*known: unknown_token, non_uk,/,
  )
  expect(() => switches.set({ validity_days: '90' } as unknown as Partial<SwitchValues>)).toThrow(/^validity_days: /)
  expect(() => switches.set({ invalid_client_until: 'tomorrow' })).toThrow(
    /^invalid_client_until: expected an ISO 8601 instant/,
  )
  expect(() => switches.set({ deny_error: 'with "quotes"' })).toThrow(/^deny_error: /)
  expect(() => switches.set([] as Partial<SwitchValues>)).toThrow(/expected an object of switches/)
  expect(() => makeSwitches({ nope: 1 } as Partial<SwitchValues>)).toThrow(/unknown switch "nope"/)
  expect(switches.all()).toEqual(before)
})

const rotates = async (simulator: Simulator, refreshToken: string): Promise<boolean> =>
  (await refresh(simulator, refreshToken)).body.refresh_token !== refreshToken

test('a connection that rotates by itself does so alone, and the old token is dead at once', async () => {
  const simulator = await aSimulator()
  const rotating = aConnection(simulator, { switches: { rotate_refresh_tokens: 'on-refresh' } })
  const other = aConnection(simulator)
  expect(await rotates(simulator, rotating.refreshToken)).toBe(true)
  expect(await rotates(simulator, other.refreshToken)).toBe(false)
  expect((await refresh(simulator, rotating.refreshToken)).body.error).toBe('invalid_grant')
  expect((await reauth(simulator, rotating.refreshToken)).status).toBe(401)
})

test('what a connection has set goes before the switch for all, until it is given up', async () => {
  const simulator = await aSimulator({ switches: { rotate_refresh_tokens: 'on-refresh' } })
  const { credentialsId, refreshToken } = aConnection(simulator, { switches: { rotate_refresh_tokens: 'never' } })
  expect(await rotates(simulator, refreshToken)).toBe(false)
  simulator.switches.set({ rotate_refresh_tokens: 'always' })
  simulator.switches.reset()
  expect(await rotates(simulator, refreshToken)).toBe(false)
  expect(simulator.setConnectionSwitches(credentialsId, { rotate_refresh_tokens: null })?.switches).toEqual({})
  expect(await rotates(simulator, refreshToken)).toBe(true)
  expect(simulator.setConnectionSwitches('nobody', { rotate_refresh_tokens: 'never' })).toBeUndefined()
})

test('the new date of one connection comes late, that of another at once', async () => {
  const simulator = await aSimulator()
  const late = aConnection(simulator, { switches: { me_lag_seconds: 86_400 } })
  const prompt = aConnection(simulator)
  const shownAfterRenewal = async ({ refreshToken }: { refreshToken: string }): Promise<string> =>
    (await meOf(simulator, (await renewed(simulator, refreshToken)).access_token)).consent_expires_at
  const known = (credentialsId: string) => simulator.connection(credentialsId)?.dates.expiresAt.toISO()
  expect(await shownAfterRenewal(late)).toBe(late.dates.expiresAt.toISO())
  expect(await shownAfterRenewal(prompt)).toBe(known(prompt.credentialsId))
  simulator.clock.advance({ hours: 23, minutes: 59 })
  const shownNow = async (): Promise<string> =>
    (await meOf(simulator, (await refresh(simulator, late.refreshToken)).body.access_token)).consent_expires_at
  expect(await shownNow()).toBe(late.dates.expiresAt.toISO())
  simulator.clock.advance({ minutes: 2 })
  expect(await shownNow()).toBe(known(late.credentialsId))
})

test('a connection made by a full authentication has no switches of its own', async () => {
  const simulator = await aSimulator()
  const { refreshToken } = aConnection(simulator, { switches: { rotate_refresh_tokens: 'always' } })
  const { access_token: token } = (await exchange(simulator, await aCode(simulator, refreshToken, 'somebody-else')))
    .body
  expect(simulator.connection(String(claimsOf(token)['sub']))?.switches).toEqual({})
})

test('an unknown switch of a connection or a wrong value is refused and changes nothing', async () => {
  const simulator = await aSimulator()
  const { credentialsId } = aConnection(simulator, { switches: { me_lag_seconds: 5 } })
  const set = (changes: unknown) => () => simulator.setConnectionSwitches(credentialsId, changes as object)
  expect(set({ me_lag_seconds: 6, grace_days: 1 })).toThrow(
    /unknown switch of a connection "grace_days".*known: rotate_refresh_tokens, me_lag_seconds/,
  )
  expect(set({ rotate_refresh_tokens: 'sometimes' })).toThrow(/^rotate_refresh_tokens: /)
  expect(set([])).toThrow(/expected an object of switches/)
  const wrong = { me_lag_seconds: -1 }
  expect(() => aConnection(simulator, { credentialsId: 'never-made', switches: wrong })).toThrow(/^me_lag_seconds: /)
  expect(simulator.connection('never-made')).toBeUndefined()
  expect(set({ me_lag_seconds: undefined })()?.switches).toEqual({ me_lag_seconds: 5 })
})

test('reset goes back to the values at the start, not to the defaults', () => {
  const switches = makeSwitches({ validity_days: 30 })
  switches.set({ validity_days: 1, grace_days: 2 })
  switches.reset()
  expect([switches.get('validity_days'), switches.get('grace_days')]).toEqual([30, 90])
})
