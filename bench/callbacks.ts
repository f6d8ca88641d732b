// Measures how long a user who comes back from the bank waits: `npm run bench:callbacks`. Reconsent with the role `web`
// alone, so that no exchange runs beside it, and a bare handler that commits one row, in turn and each in a process of
// its own: callbacks at a steady rate, then as many connections at once. Every callback must be stored, and
// only once.
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { newState, sha256Hex } from '../src/crypto/hashing.ts'
import { freePort } from '../test/setup/free-port.ts'
import { type Callback, type CallbackSide, callbackSides, type StoredCallback } from './callback-sides.ts'
import { type Load, sendAtOnce, sendAtRate } from './load.ts'
import { readWords, wholeNumber } from './options.ts'
import { inPieces } from './population.ts'
import { busyCpuMs, cpuMs } from './processes.ts'
import { runProgram } from './program.ts'
import { SideFailed } from './side-process.ts'
import { type Place, redisCpuMs, type RunningSide, stopSide, withServer, withSide } from './stage.ts'
import { quantileOf, spreadOf } from './statistics.ts'

const USAGE = `npm run bench:callbacks -- [options]
  --rate N        callbacks a second (200)
  --seconds S     for so long (60), after a warm-up of at most 5 seconds
  --burst N       connections at once afterwards, each with one callback (5000)`

interface Terms extends Place {
  readonly rate: number
  readonly seconds: number
  readonly burst: number
}

/** What the database says about the callbacks, those of the warm-up included. */
interface Kept {
  /** Those that were answered as if they were stored, and are not, or not once, or not with their code. */
  readonly lost: number
  /** Those whose answer was an error, and that are not stored: the user is asked to repeat them. */
  readonly refused: number
}

interface Result {
  readonly steady: Load
  readonly burst: Load
  readonly burstSeconds: number
  readonly kept: Kept
  /** For each callback of the steady rate, in milliseconds. */
  readonly ownCpuMs: number
  readonly postgresCpuMs: number
  readonly redisCpuMs: number
  /** How much of the machine's CPU time went to what has nothing to do with the bench, meanwhile. */
  readonly elsewherePercent: number
}

const WARM_UP_SECONDS = 5
const PIECE_SECONDS = 5

const makeCallbacks = (count: number): readonly Callback[] =>
  Array.from({ length: count }, () => ({ state: newState().reveal(), code: randomBytes(32).toString('hex') }))

const takeTurn = async (side: CallbackSide, terms: Terms): Promise<Result> => {
  const { rate, seconds, burst } = terms
  const warmUp = rate * Math.min(WARM_UP_SECONDS, seconds)
  const callbacks = makeCallbacks(warmUp + rate * seconds + burst)
  const fill: Parameters<typeof withSide>[0]['fill'] = async (database, order) => side.fill(database, order, callbacks)
  return withSide({ ...terms, side, fill }, async (running) => {
    const { database, order, child } = running
    const urls = callbacks.map(({ state, code }) => `${order.redirectUri}?code=${code}&state=${state}`)
    const first = await sendAtRate(urls.slice(0, warmUp), rate)
    const before = await read(terms, running)
    const steady = await sendAtRate(urls.slice(warmUp, -burst), rate)
    const after = await read(terms, running)
    const inBurst = await sendAtOnce(urls.slice(-burst))
    const burstSeconds = (performance.now() - after.atMs) / 1_000
    await stopSide(child)
    const stored = await side.stored(database, order)
    const problems = new Map([first, steady, inBurst].flatMap((load) => [...load.problems]))
    const isRefused = callbacks.map((_, index) => problems.has(urls[index] ?? ''))
    const machineMs = (after.atMs - before.atMs) * availableParallelism()
    return {
      steady,
      burst: inBurst,
      burstSeconds,
      kept: keptOf(callbacks, isRefused, stored),
      ownCpuMs: (after.ownMs - before.ownMs) / (rate * seconds),
      postgresCpuMs: (after.postgresMs - before.postgresMs) / (rate * seconds),
      redisCpuMs: (after.redisMs - before.redisMs) / (rate * seconds),
      elsewherePercent: (100 * (after.elsewhereMs - before.elsewhereMs)) / machineMs,
    }
  })
}

const read = async ({ server }: Terms, { child, redis }: RunningSide) => {
  const atMs = performance.now()
  const parts = { ownMs: await cpuMs(child.pid), postgresMs: await server.cpuMs(), redisMs: await redisCpuMs(redis) }
  const ofBench = parts.ownMs + parts.postgresMs + parts.redisMs + (await cpuMs(process.pid))
  return { atMs, ...parts, elsewhereMs: (await busyCpuMs()) - ofBench }
}

const keptOf = (
  callbacks: readonly Callback[],
  isRefused: readonly boolean[],
  stored: readonly StoredCallback[],
): Kept => {
  const codes = new Map<string, string[]>()
  for (const { hash, code } of stored) codes.set(hash, [...(codes.get(hash) ?? []), code])
  let [lost, refused] = [0, 0]
  for (const [index, { state, code }] of callbacks.entries()) {
    const found = codes.get(sha256Hex(state)) ?? []
    if (found.length === 0 && isRefused[index] === true) refused += 1
    else if (found.length !== 1 || found[0] !== code) lost += 1
  }
  return { lost, refused }
}

/** The p99 of the middle one of pieces of 5 seconds: that of a minute is soon the work of a busy neighbour. */
const calmP99 = ({ latenciesMs }: Load, rate: number): number =>
  spreadOf(inPieces(latenciesMs, rate * PIECE_SECONDS).map((piece) => quantileOf(piece, 0.99))).median

const show = ({ name }: CallbackSide, { rate, seconds }: Terms, result: Result): void => {
  const { steady, burst, kept } = result
  const ms = (numbers: readonly number[], share: number): string => `${quantileOf(numbers, share).toFixed(1)} ms`
  const errors = ({ problems }: Load): string =>
    problems.size === 0 ? 'no error' : `${problems.size} errors, the first: ${[...problems.values()][0]}`
  const { latenciesMs } = steady
  console.log(
    [
      `${name}, ${rate} a second for ${seconds} s: p50 ${ms(latenciesMs, 0.5)}, p99 ${ms(latenciesMs, 0.99)}, ` +
        `max ${ms(latenciesMs, 1)}; p99 of the middle 5 s: ${calmP99(steady, rate).toFixed(1)} ms; ${errors(steady)}`,
      `  CPU of a callback: own ${result.ownCpuMs.toFixed(2)} ms, PostgreSQL ${result.postgresCpuMs.toFixed(2)} ms, ` +
        `Redis ${result.redisCpuMs.toFixed(2)} ms; sent late by the bench: p99 ${ms(steady.lateMs, 0.99)}; ` +
        `others: ${result.elsewherePercent.toFixed(0)} %`,
      `  burst of ${burst.latenciesMs.length} connections: ${errors(burst)}; answered within ` +
        `${result.burstSeconds.toFixed(1)} s, half of them within ${ms(burst.latenciesMs, 0.5)}`,
      kept.lost + kept.refused === 0
        ? '  every callback is stored once'
        : `  ${kept.refused} callbacks were refused and are not stored; ${kept.lost} were LOST`,
    ].join('\n'),
  )
}

const measure = async (terms: Terms): Promise<void> => {
  const results: Result[] = []
  for (const side of callbackSides) {
    const result = await takeTurn(side, terms)
    show(side, terms, result)
    results.push(result)
  }
  const times = (figure: (steady: Load) => number): string => {
    const [bare = Number.NaN, reconsent = Number.NaN] = results.map(({ steady }) => figure(steady))
    return (reconsent / bare).toFixed(2)
  }
  console.log(
    `p99 of Reconsent: ${times(({ latenciesMs }) => quantileOf(latenciesMs, 0.99))} times that of the bare handler; ` +
      `of the middle 5 s ${times((steady) => calmP99(steady, terms.rate))} times`,
  )
  const failed = results.reduce(
    (sum, { steady, burst, kept }) => sum + steady.problems.size + burst.problems.size + kept.lost,
    0,
  )
  if (failed > 0) throw new SideFailed(`${failed} callbacks were not answered, or not stored, as they should be`)
}

await runProgram(USAGE, async () => {
  const { values } = readWords({
    options: {
      rate: { type: 'string', default: '200' },
      seconds: { type: 'string', default: '60' },
      burst: { type: 'string', default: '5000' },
    },
  })
  const wanted = {
    rate: wholeNumber('rate', values.rate, 1),
    seconds: wholeNumber('seconds', values.seconds, 1),
    burst: wholeNumber('burst', values.burst, 1),
  }
  await withServer(async (server, folder) => measure({ ...wanted, server, folder, port: await freePort() }))
})
