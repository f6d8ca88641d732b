// What can happen to a consent, as data that fast-check draws and shrinks, and what each action does on the stage.
import fc from 'fast-check'
import { type DateTime, Duration, type DurationLikeObject } from 'luxon'
import type { FaultOrder } from '../../simulator/src/faults.ts'
import { challengeOf, newState, newVerifier } from '../../src/crypto/hashing.ts'
import type { Callback } from '../../src/processors/receive-callback.ts'
import { Secret } from '../../src/secret.ts'
import type { AdministrationAnswer } from '../../src/store/administration-port.ts'
import type { RecordKind } from '../../src/records.ts'
import type { Company, Export } from './company.ts'
import { becomes, type Model } from './model.ts'
import type { Stage } from './stage.ts'

const kinds = ['authorisation', 'notification', 'consent'] as const
const decisions = ['approve', 'deny', 'bank-error', 'somebody-else', 'close'] as const
const wishes = ['pause', 'resume', 'release', 'renew', 'resend', 'revoke', 'opt-out'] as const

export type Action =
  /** The sweep and all jobs that it dispatches, concurrently. */
  | { readonly act: 'sweep' }
  /** Runs a job once more: a duplicate delivery, or a retry on the board. */
  | { readonly act: 'job'; readonly kind: RecordKind; readonly nth: number; readonly manual: boolean }
  | { readonly act: 'look' }
  /** The user presses the button, decides at the bank, and `arrives` equal callbacks come at once. */
  | { readonly act: 'visit'; readonly as: (typeof decisions)[number]; readonly arrives: number }
  | { readonly act: 'replay'; readonly nth: number }
  | { readonly act: 'operator'; readonly wish: (typeof wishes)[number] }
  /** The company renews the consent by itself and imports the result. */
  | { readonly act: 'renewed-elsewhere' }
  /**
   * The company, which reads accounts hourly beside us, refreshes with the token that it holds and exports what it got;
   * the export arrives at once or is kept for later.
   */
  | { readonly act: 'company-refreshes'; readonly arrives: boolean }
  /** An export of earlier arrives: late, out of order, or once more. */
  | { readonly act: 'export-arrives'; readonly nth: number }
  | { readonly act: 'fault'; readonly order: FaultOrder }
  /** All leases end, as if the workers were dead; they go on later. */
  | { readonly act: 'leases-end' }
  | { readonly act: 'time'; readonly by: DurationLikeObject }

const faults: fc.Arbitrary<FaultOrder> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('exchange', 'exchange', 'exchange', 'me', 'refresh', 'reauthuri'),
      fc.constantFrom(
        { kind: 'reset-before' },
        { kind: 'reset-after' },
        { kind: 'rate-limited', retry_after: 5 },
        { kind: 'rate-limited' },
        { kind: 'error-json', status: 500 },
        { kind: 'error-json', status: 500, processed: true },
        { kind: 'error-html', processed: true },
        { kind: 'error-json', status: 400, error: 'invalid_client' },
        { kind: 'bad-json' },
      ),
    )
    .map(([endpoint, fault]) => ({ endpoint, ...fault }) as FaultOrder),
  fc
    .constantFrom(
      { kind: 'rcpt-4xx' },
      { kind: 'rcpt-5xx' },
      { kind: 'data-4xx' },
      { kind: 'data-5xx' },
      { kind: 'cut-after-dot', stored: true },
      { kind: 'cut-after-dot', stored: false },
    )
    .map((fault) => ({ endpoint: 'mail', ...fault }) as FaultOrder),
)

const times: readonly DurationLikeObject[] = [
  { seconds: 3 },
  { seconds: 20 },
  { minutes: 2 },
  { minutes: 7 },
  { minutes: 7 },
  { minutes: 35 },
  { hours: 2 },
  { hours: 20 },
  { days: 3 },
  { days: 10 },
  { days: 40 },
]

export const anAction: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ act: fc.constant('sweep' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constant('job' as const),
      kind: fc.constantFrom(...kinds),
      nth: fc.nat(5),
      manual: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('look' as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      act: fc.constant('visit' as const),
      as: fc.constantFrom('approve' as const, 'approve' as const, 'approve' as const, ...decisions),
      arrives: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('replay' as const), nth: fc.nat(5) }) },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant('operator' as const), wish: fc.constantFrom('renew' as const, ...wishes) }),
  },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('renewed-elsewhere' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({ act: fc.constant('company-refreshes' as const), arrives: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('export-arrives' as const), nth: fc.nat(5) }) },
  { weight: 4, arbitrary: fc.record({ act: fc.constant('fault' as const), order: faults }) },
  { weight: 1, arbitrary: fc.record({ act: fc.constant('leases-end' as const) }) },
  { weight: 5, arbitrary: fc.record({ act: fc.constant('time' as const), by: fc.constantFrom(...times) }) },
)

/** What earlier actions left behind for later ones. */
export interface Past {
  readonly callbacks: Callback[]
  /** The users whom the bank sent back with a code, and when. */
  readonly codes: CodeBrought[]
  readonly company: Company
}

export interface CodeBrought {
  readonly state: Secret
  readonly at: DateTime
}

export const perform = async (stage: Stage, model: Model, past: Past, action: Action): Promise<void> => {
  const { world, consent, step } = stage
  const { clock, simulator } = world
  switch (action.act) {
    case 'sweep':
      return sweep(stage)
    case 'job': {
      const ids = await step('find a record', async () => idsOf(stage, action.kind))
      const id = ids[action.nth % Math.max(1, ids.length)]
      return id === undefined ? undefined : stage.runJob(action.kind, id, action.manual)
    }
    case 'look':
      return void (await stage.look())
    case 'visit': {
      const departure = await stage.leave()
      if (departure.kind !== 'to-bank') return
      const played = await step(`${action.as} at the bank`, async () =>
        simulator.play({ link: departure.link.reveal(), as: action.as }),
      )
      if (played.kind !== 'callback') return
      const callback = world.toCallback(played)
      past.callbacks.push(callback)
      model.callbacks += 1
      if ('code' in callback) {
        past.codes.push({ state: callback.state, at: clock.now() })
        if (action.as === 'approve') model.approvals += 1
      }
      await Promise.all(Array.from({ length: action.arrives }, async () => stage.receive(callback)))
      return
    }
    case 'replay': {
      const callback = past.callbacks[action.nth % Math.max(1, past.callbacks.length)]
      return callback === undefined ? undefined : void (await stage.receive(callback))
    }
    case 'operator':
      return ask(stage, model, action.wish)
    case 'renewed-elsewhere':
      return renewElsewhere(stage, model, past.company)
    case 'company-refreshes':
      return past.company.refreshes ? companyRefreshes(stage, model, past.company, action.arrives) : undefined
    case 'export-arrives': {
      const kept = past.company.exports[action.nth % Math.max(1, past.company.exports.length)]
      return kept === undefined ? undefined : importExport(stage, model, kept)
    }
    case 'fault':
      return step(
        'a fault',
        async () =>
          void simulator.faults.add({
            count: 1,
            ...action.order,
            only: action.order.endpoint === 'mail' ? (consent.email ?? '') : consent.credentialsId,
          }),
      )
    case 'leases-end':
      return step('leases end', async () => endLeases(stage))
    case 'time':
      return step('time passes', async () => clock.advance(action.by))
  }
}

const sweep = async ({ store, world, runJob }: Stage): Promise<void> => {
  await store.expireAttempts(world.clock.now(), 100)
  const runs: Promise<void>[] = []
  for (const kind of kinds) {
    const due = await store.dispatchDue(kind, world.clock.now(), 100, Duration.fromMillis(0))
    runs.push(...due.map(async ({ id }) => runJob(kind, id, false)))
  }
  await Promise.all(runs)
}

const idsOf = async ({ world, consent }: Stage, kind: RecordKind): Promise<string[]> => {
  if (kind === 'consent') return [consent.id]
  const rows =
    kind === 'authorisation' ? await world.authorisationsOf(consent.id) : await world.notificationsOf(consent.id)
  return rows.map(({ id }) => id)
}

const ask = async (
  { operator, consent: { id }, world }: Stage,
  model: Model,
  wish: (typeof wishes)[number],
): Promise<void> => {
  const request = { now: world.clock.now(), reason: 'a property' }
  const granted = async (answer: Promise<AdministrationAnswer>): Promise<boolean> => (await answer).kind === 'done'
  switch (wish) {
    case 'pause':
      if (await granted(operator.pauseConsent(id, request))) becomes(model, 'paused')
      return
    case 'resume':
      if (await granted(operator.resumeConsent(id, request))) becomes(model, 'runs')
      return
    case 'release':
      if (await granted(operator.releaseConsent(id, request))) becomes(model, 'runs')
      return
    case 'renew':
      return void (await operator.requestRenewal(id, request))
    case 'resend':
      return void (await operator.requestRenewal(id, { ...request, resend: true }))
    case 'revoke':
      if (await granted(operator.closeForGood(id, 'revoked', request))) becomes(model, 'revoked')
      return
    case 'opt-out':
      if (await granted(operator.closeForGood(id, 'opted_out', request))) becomes(model, 'opted_out')
      return
  }
}

/** What the company does itself meets no fault of the provider: those are meant for us. */
const withoutFaults = async <Result>({ world: { simulator } }: Stage, act: () => Promise<Result>): Promise<Result> => {
  const waiting = simulator.faults.list().filter(({ fired }) => fired === 0)
  simulator.faults.clear()
  try {
    return await act()
  } finally {
    for (const { endpoint, settings } of waiting) simulator.faults.add({ endpoint, ...settings } as FaultOrder)
  }
}

const companyRefreshes = async (stage: Stage, model: Model, company: Company, arrives: boolean): Promise<void> => {
  const { step, world } = stage
  const exported = await step('the company refreshes', async () =>
    withoutFaults(stage, async () => company.refresh(world, stage.consent)),
  )
  if (exported === undefined) return
  if (arrives) await importExport(stage, model, exported)
}

/** The rows of an export arrive as they were written. */
export const importExport = async (
  { importer, consent, world }: Pick<Stage, 'importer' | 'consent' | 'world'>,
  model: Model,
  { token, expiresAt, issuedAt }: Export,
): Promise<void> => {
  const { credentialsId, userId, providerId, providerName, country, redirectUri, scopes } = consent
  const { email, phone, name, locale, timeZone } = consent
  const connection = { credentialsId, userId, providerId, providerName, country, redirectUri, scopes }
  const row = {
    ...connection,
    ...{ email, phone, name, locale, timeZone },
    ...{ expiresAt, consentedAt: undefined, refreshToken: new Secret(token), tokenIssuedAt: issuedAt },
  }
  const [answer] = await importer.importBatch([row], { now: world.clock.now(), correct: false })
  if (answer?.kind === 'repaired') model.repaired += 1
}

const renewElsewhere = async (stage: Stage, model: Model, company: Company): Promise<void> => {
  const { step, consent, world } = stage
  const { simulator, client, clock } = world
  const bank = await step('renewed elsewhere', async () => {
    // A user takes a while at the bank: two renewals never give the same date.
    clock.advance({ minutes: 1 })
    const token = simulator.connection(consent.credentialsId)?.refreshToken
    if (token === undefined) return undefined
    const verifier = newVerifier()
    const [refreshToken, state] = [new Secret(token), newState()]
    const renewals = (): number => simulator.ledger.count({ what: 'renewed', credentials_id: consent.credentialsId })
    const renewedBefore = renewals()
    const { redirectUri, providerId, scopes } = consent
    await withoutFaults(stage, async () => {
      const link = await client.makeLink({
        route: 'reauth',
        refreshToken,
        redirectUri,
        state,
        codeChallenge: challengeOf(verifier),
        providerId,
        scopes,
      })
      if (link.kind !== 'link') return
      const callback = world.toCallback(await simulator.play({ link: link.url.reveal(), as: 'approve' }))
      if ('code' in callback)
        await client.exchangeCode({ route: 'reauth', code: callback.code, redirectUri, codeVerifier: verifier })
    })
    model.elsewhere += renewals() - renewedBefore
    return renewals() > renewedBefore ? simulator.connection(consent.credentialsId) : undefined
  })
  if (bank?.refreshToken === undefined) return
  const { refreshToken, dates } = bank
  await importExport(stage, model, company.got({ token: refreshToken, expiresAt: dates.expiresAt, at: clock.now() }))
}

export const endLeases = async ({ world, consent }: Pick<Stage, 'world' | 'consent'>): Promise<void> => {
  await world.db.prisma.$executeRaw`UPDATE consents SET lease_until = NULL WHERE id = ${consent.id}::uuid`
  await world.db.prisma.$executeRaw`UPDATE authorisations SET lease_until = NULL WHERE consent_id = ${consent.id}::uuid`
  await world.db.prisma.$executeRaw`UPDATE notifications SET lease_until = NULL WHERE consent_id = ${consent.id}::uuid`
}
