// One consent's life, drawn by fast-check: sweeps, retries, users, operators, imports and faults, up to four at once,
// their steps interleaved by fast-check's scheduler. LIFE_RUNS=500 LIFE_SEED=<another> for a longer search; LIFE_SEED,
// LIFE_PATH and LIFE_REPLAY (its replayPath) repeat a failure that was reported.
import { randomUUID } from 'node:crypto'
import fc, { type AsyncCommand } from 'fast-check'
import { DateTime } from 'luxon'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Secret } from '../../src/secret.ts'
import type { Consent } from '../../src/domain/model.ts'
import { administration } from '../../src/store/administration.ts'
import { imports } from '../../src/store/import.ts'
import { aConsent } from '../builders.ts'
import { bringUpToDate } from '../processors/rig.ts'
import { REDIRECT_URI, startWorld, type World } from '../setup/world.ts'
import { type Action, anAction, endLeases, importExport, type Past, perform } from './actions.ts'
import { unanswered } from './answers.ts'
import { type Company, newCompany } from './company.ts'
import { contradictions, type Model, newModel } from './model.ts'
import { makePromises } from './promises.ts'
import { makeStage, type Stage } from './stage.ts'

const RUNS = Number(process.env['LIFE_RUNS'] ?? 60)
const SEED = Number(process.env['LIFE_SEED'] ?? 1)
const PATH = process.env['LIFE_PATH']
const REPLAY = process.env['LIFE_REPLAY']
const MAX_COMMANDS = 20
const MS_PER_RUN = 30_000
const BEGIN = DateTime.fromISO('2027-02-20T09:00:00Z', { zone: 'utc' })

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => world.close())

interface Life extends Past {
  readonly stage: Stage
  readonly promises: ReturnType<typeof makePromises>
}

const keep = (broken: readonly string[], when: string): void => {
  if (broken.length > 0) throw new Error(`${when}: ${broken.join('; ')}`)
}

const happening = (actions: readonly Action[]): AsyncCommand<Model, Life> => ({
  check: ({ callbacks }) => callbacks > 0 || actions.some(({ act }) => act !== 'replay'),
  run: async (model, { stage, promises, ...past }) => {
    await stage.together(actions.map((action) => async () => perform(stage, model, past, action)))
    keep(
      [...(await contradictions(model, world, stage.consent)), ...(await promises.afterEachStep())],
      `after ${JSON.stringify(actions)}`,
    )
  },
  toString: () => JSON.stringify(actions),
})
const happenings = fc.commands([fc.array(anAction, { minLength: 1, maxLength: 4 }).map(happening)], {
  maxCommands: MAX_COMMANDS,
  size: 'max',
  ...(REPLAY === undefined ? {} : { replayPath: REPLAY }),
})

const born = async (inDays: number): Promise<Consent> => {
  const refreshToken = `refresh-${randomUUID()}`
  const expiresAt = world.clock.now().plus({ days: inDays })
  const row = aConsent({
    redirectUri: REDIRECT_URI,
    userId: randomUUID(),
    email: `${randomUUID()}@example.com`,
    expiresAt,
  })
  const { credentialsId, providerId, country, redirectUri, scopes } = row
  world.simulator.seedConnection({ credentialsId, providerId, country, redirectUri, refreshToken, expiresAt, scopes })
  await imports(world.db, world.policy).importBatch(
    [{ ...row, consentedAt: undefined, refreshToken: new Secret(refreshToken) }],
    { now: world.clock.now(), correct: false },
  )
  const consent = await world.store.findConsent(credentialsId)
  if (consent === undefined) throw new Error('the import made no consent')
  return consent
}

/**
 * The faults end, all that the company exported has arrived (an older token in a later file), and some days pass: by
 * then every doubt that can be settled is settled.
 */
const comeToRest = async (consent: Consent, model: Model, company: Company): Promise<void> => {
  world.simulator.faults.clear()
  const importer = imports(world.db, world.policy)
  if (company.refreshes)
    for (const one of company.exports.toReversed()) await importExport({ importer, consent, world }, model, one)
  for (const step of [{ minutes: 10 }, { hours: 2 }, { hours: 12 }, { days: 1 }, { days: 1 }, { days: 1 }]) {
    await endLeases({ world, consent })
    await bringUpToDate(world, consent.id)
    world.clock.advance(step)
  }
  await bringUpToDate(world, consent.id)
}

/** Each life begins at the same hour, so the previous lives' use of its message cap is deleted. */
const forgetOthers = async (): Promise<void> => {
  await world.db.prisma.$executeRaw`DELETE FROM message_hours`
  await world.db.prisma.$executeRaw`DELETE FROM provider_failures`
  await world.db.prisma.$executeRaw`DELETE FROM open_circuits`
}

const retire = async ({ id }: Consent): Promise<void> => {
  const { prisma } = world.db
  await prisma.$executeRaw`
    UPDATE authorisations SET next_action_at = 'infinity' WHERE consent_id = ${id}::uuid AND next_action_at IS NOT NULL
  `
  await prisma.$executeRaw`
    UPDATE notifications SET next_action_at = 'infinity' WHERE consent_id = ${id}::uuid AND next_action_at IS NOT NULL
  `
}

const switches = fc.record({
  rotate_refresh_tokens: fc.constantFrom('never', 'never', 'on-reauth', 'on-refresh', 'always'),
  access_token: fc.constantFrom('jwt', 'jwt', 'jwt-without-sub', 'opaque'),
  // The last: a provider that shows the new date a day later.
  me_lag_seconds: fc.constantFrom(0, 0, 45, 86_400),
  link_use: fc.constantFrom('opening', 'unlimited'),
})
const aLife = fc.record({
  inDays: fc.constantFrom(13, 10, 2, 40, -20, -85),
  isAsked: fc.constantFrom(true, true, false),
  queueIsThere: fc.constantFrom(true, true, false),
  companyRefreshes: fc.boolean(),
  switches,
})

test(
  `${RUNS} lives break no promise, whatever happens in them and in whatever order`,
  { timeout: RUNS * MS_PER_RUN },
  async () => {
    let rotatedByCompanies = 0
    const property = fc.asyncProperty(aLife, fc.scheduler(), happenings, async (life, scheduler, commands) => {
      world.clock.set(BEGIN)
      world.simulator.faults.clear()
      world.simulator.switches.reset()
      world.simulator.switches.set(life.switches)
      await forgetOthers()
      const consent = await born(life.inDays)
      if (life.isAsked) await bringUpToDate(world, consent.id)
      const stage = makeStage(world, scheduler, consent, life.queueIsThere)
      const token = world.simulator.connection(consent.credentialsId)?.refreshToken ?? ''
      const known = { token, expiresAt: consent.expiresAt, issuedAt: undefined }
      const company = newCompany(known, life.companyRefreshes)
      const promises = makePromises(world, consent)
      try {
        const model = newModel()
        const past: Past = { callbacks: [], codes: [], company }
        await fc.asyncModelRun(() => ({ model, real: { stage, promises, ...past } }), commands)
        await comeToRest(consent, model, company)
        const wrong = [
          ...(await contradictions(model, world, consent)),
          ...(await promises.afterEachStep()),
          ...(await promises.atRest()),
        ]
        keep([...wrong, ...(await unanswered(world, consent, past))], 'at rest')
      } finally {
        rotatedByCompanies += company.rotations()
        // Takes the consent out of the next life's sweeps.
        await administration(world.db, world.policy).closeForGood(consent.id, 'opted_out', {
          now: world.clock.now(),
          reason: 'the end',
        })
        await endLeases({ world, consent })
        await retire(consent)
      }
    })
    await fc.assert(property, {
      numRuns: RUNS,
      seed: SEED,
      ...(PATH === undefined ? {} : { path: PATH }),
    })
    if (PATH !== undefined) return
    // Lives in which nothing happened would prove nothing. The bounds are far below the usual counts, because chance
    // decides how many faults meet an exchange.
    const { ledger } = world.simulator
    expect(ledger.count({ what: 'renewed' })).toBeGreaterThan(RUNS / 4)
    expect(ledger.entries({ what: 'exchange' }).filter(({ fault }) => fault !== undefined).length).toBeGreaterThan(0)
    expect(rotatedByCompanies).toBeGreaterThan(0)
  },
)
