// Real Redis in the shapes that production has: a primary with its replica, sentinels that watch them, a cluster of
// three with optional replicas, and a server that speaks only TLS.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Redis } from 'ioredis'
import { freePort } from './free-port.ts'
import { findProgram } from './program.ts'
import { type RedisServer, startRedisServer } from './redis.ts'

const run = promisify(execFile)

/** Polls until the condition is true: replication, votes and slots take a moment. */
const untilTrue = async (what: string, ask: () => Promise<boolean>, withinMs = 30_000): Promise<void> => {
  const end = Date.now() + withinMs
  while (!(await ask().catch(() => false))) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const isReplicating = async (server: RedisServer): Promise<boolean> =>
  server.ask(async (client) => (await client.info('replication')).includes('master_link_status:up'))

/** Two servers, the second a replica of the first. `password`: both servers' password. */
export const startPair = async ({ password }: { password?: string } = {}) => {
  const given =
    password === undefined ? {} : { settings: { requirepass: password, masterauth: password }, login: { password } }
  const first = await startRedisServer(given)
  const second = await startRedisServer({
    ...given,
    settings: { ...given.settings, replicaof: `127.0.0.1 ${first.port}` },
  })
  await untilTrue('the replica', async () => isReplicating(second))
  return {
    first,
    second,
    /**
     * As an operator or a managed service does: the old primary keeps its connections, which then lead to a replica.
     */
    failOver: async (from = first, to = second): Promise<void> => {
      await untilTrue('the replica', async () => isReplicating(to))
      await to.ask((client) => client.replicaof('NO', 'ONE'))
      await from.ask((client) => client.replicaof('127.0.0.1', to.port))
      // A server that is started again keeps its new part.
      for (const server of [from, to]) await server.ask((client) => client.config('REWRITE'))
    },
    stop: async (): Promise<void> => void (await Promise.all([first.stop(), second.stop()])),
  }
}

export type Pair = Awaited<ReturnType<typeof startPair>>

export const PRIMARY = 'mymaster'

/** The same with three sentinels that fail over within seconds. `password`: the sentinels' password. */
export const startSentinels = async ({ password }: { password?: string } = {}) => {
  const pair = await startPair()
  const login = password === undefined ? {} : { password }
  const sentinels = await Promise.all(
    Array.from({ length: 3 }, async () =>
      startRedisServer({
        sentinel: true,
        login,
        settings: {
          'sentinel monitor': `${PRIMARY} 127.0.0.1 ${pair.first.port} 2`,
          'sentinel down-after-milliseconds': `${PRIMARY} 1000`,
          'sentinel failover-timeout': `${PRIMARY} 5000`,
          ...(password === undefined ? {} : { requirepass: password, 'sentinel sentinel-pass': password }),
        },
      }),
    ),
  )
  const [one] = sentinels
  if (one === undefined) throw new Error('no sentinel')
  const ofPrimary = async (...words: string[]): Promise<unknown> =>
    one.ask((client) => client.call('SENTINEL', ...words, PRIMARY))
  await untilTrue('the sentinels to know one another', async () =>
    (
      await Promise.all(
        sentinels.map(async (sentinel) => sentinel.ask((client) => client.call('SENTINEL', 'sentinels', PRIMARY))),
      )
    ).every((known) => (known as unknown[]).length === 2),
  )
  await untilTrue(
    'the sentinels to know the replica',
    async () => ((await ofPrimary('replicas')) as unknown[]).length === 1,
  )
  const primaryPort = async (): Promise<number> => Number(((await ofPrimary('get-master-addr-by-name')) as string[])[1])
  return {
    ...pair,
    sentinels,
    primaryPort,
    url: `redis-sentinel://${sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')}/${PRIMARY}`,
    /** Resolves when the sentinels name the other server. */
    failOver: async (): Promise<void> => {
      const before = await primaryPort()
      await ofPrimary('failover')
      await untilTrue('the failover', async () => (await primaryPort()) !== before)
    },
    /** Resolves when the sentinels have found the primary dead and name the other server. */
    untilOther: async (than: number): Promise<void> =>
      untilTrue('the election', async () => (await primaryPort()) !== than),
    stop: async (): Promise<void> => {
      await Promise.all(sentinels.map(async (sentinel) => sentinel.stop()))
      await pair.stop()
    },
  }
}

const SLOTS = 16_384

/** Three primaries with a third of the slots each; with `replicas`, one replica for each. */
export const startCluster = async ({
  replicas = false,
  settings = {},
}: { replicas?: boolean; settings?: Readonly<Record<string, string>> } = {}) => {
  const nodes = await Promise.all(
    Array.from({ length: replicas ? 6 : 3 }, async () => {
      const bus = await freePort()
      const own = {
        'cluster-enabled': 'yes',
        'cluster-config-file': 'nodes.conf',
        'cluster-node-timeout': '1000',
        'cluster-port': bus,
      }
      return { ...(await startRedisServer({ settings: { ...own, ...settings } })), bus }
    }),
  )
  const primaries = nodes.slice(0, 3)
  const idOf = async (node: RedisServer): Promise<string> =>
    node.ask(async (client) => String(await client.cluster('MYID')))
  for (const [index, node] of primaries.entries()) {
    const [from, to] = [Math.ceil((SLOTS * index) / 3), Math.ceil((SLOTS * (index + 1)) / 3) - 1]
    await node.ask((client) => client.call('CLUSTER', 'ADDSLOTSRANGE', String(from), String(to)))
    await node.ask((client) => client.call('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1)))
  }
  const [first] = primaries
  if (first === undefined) throw new Error('no node')
  // Every node meets every other node: gossip alone would take longer.
  for (const [index, node] of nodes.entries()) {
    for (const other of nodes.slice(index + 1))
      await node.ask((client) => client.call('CLUSTER', 'MEET', '127.0.0.1', String(other.port), String(other.bus)))
  }
  const isWhole = async (node: RedisServer): Promise<boolean> =>
    node.ask(async (client) => {
      const info = String(await client.cluster('INFO'))
      return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${nodes.length}`)
    })
  await untilTrue('the cluster', async () => (await Promise.all(nodes.map(isWhole))).every(Boolean))
  for (const [index, replica] of nodes.slice(3).entries()) {
    const primary = primaries[index] as RedisServer
    const id = await idOf(primary)
    await untilTrue('the replica of a node', async () =>
      replica.ask(async (client) => (await client.call('CLUSTER', 'REPLICATE', id)) === 'OK'),
    )
    await untilTrue('its replication', async () => isReplicating(replica))
  }
  const slotOf = async (key: string): Promise<number> =>
    first.ask(async (client) => Number(await client.cluster('KEYSLOT', key)))
  const ownerOf = async (slot: number): Promise<RedisServer> => {
    const ranges = (await first.ask((client) => client.call('CLUSTER', 'SLOTS'))) as [
      number,
      number,
      [string, number],
    ][]
    const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1]
    const owner = nodes.find((node) => node.port === port)
    if (owner === undefined) throw new Error(`nobody owns slot ${slot}`)
    return owner
  }
  return {
    nodes,
    primaries,
    slotOf,
    ownerOf,
    url: `redis-cluster://${primaries.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    /** Moves a slot with all its keys to another primary, as a resharding does, while clients go on using it. */
    moveSlot: async (slot: number): Promise<RedisServer> => {
      const source = await ownerOf(slot)
      const target = primaries.find((node) => node !== source) as RedisServer
      const [from, to] = await Promise.all([idOf(source), idOf(target)])
      const set = async (node: RedisServer, ...words: string[]): Promise<unknown> =>
        node.ask((client) => client.call('CLUSTER', 'SETSLOT', String(slot), ...words))
      await set(target, 'IMPORTING', from)
      await set(source, 'MIGRATING', to)
      await source.ask(async (client) => moveKeys(client, slot, target.port))
      await set(target, 'NODE', to)
      await set(source, 'NODE', to)
      for (const node of primaries) await set(node, 'NODE', to).catch(() => undefined)
      return target
    },
    stop: async (): Promise<void> => void (await Promise.all(nodes.map(async (node) => node.stop()))),
  }
}

const moveKeys = async (client: Redis, slot: number, port: number): Promise<void> => {
  for (;;) {
    const keys = (await client.cluster('GETKEYSINSLOT', slot, 20)) as string[]
    if (keys.length === 0) return
    await client.call('MIGRATE', '127.0.0.1', String(port), '', '0', '5000', 'KEYS', ...keys)
  }
}

/** A certificate authority of the test's own and its certificate for `localhost` and 127.0.0.1, as PEM files. */
export const makeCertificates = async () => {
  const [openssl, folder] = await Promise.all([
    findProgram({ names: ['openssl'], debianPackage: 'openssl' }),
    mkdtemp(join(tmpdir(), 'reconsent-tls-')),
  ])
  const at = (name: string): string => join(folder, name)
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  await writeFile(at('names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  await run(openssl, [
    'req',
    '-x509',
    ...key,
    '-days',
    '2',
    '-subj',
    '/CN=authority of tests',
    '-keyout',
    at('ca.key'),
    '-out',
    at('ca.pem'),
  ])
  await run(openssl, ['req', ...key, '-subj', '/CN=localhost', '-keyout', at('server.key'), '-out', at('server.csr')])
  await run(openssl, [
    'x509',
    '-req',
    '-days',
    '2',
    '-in',
    at('server.csr'),
    '-CA',
    at('ca.pem'),
    '-CAkey',
    at('ca.key'),
    '-CAcreateserial',
    '-extfile',
    at('names'),
    '-out',
    at('server.pem'),
  ])
  return {
    ca: at('ca.pem'),
    cert: at('server.pem'),
    key: at('server.key'),
    remove: async () => rm(folder, { recursive: true, force: true }),
  }
}

/**
 * A Redis that speaks only TLS; with `asksForCertificate`, which is Redis's default, it also demands a client
 * certificate of the same authority.
 */
export const startTlsRedis = async ({ asksForCertificate = false }: { asksForCertificate?: boolean } = {}) => {
  const files = await makeCertificates()
  const port = await freePort()
  const [ca, cert, key] = await Promise.all([files.ca, files.cert, files.key].map(async (path) => readFile(path)))
  const server = await startRedisServer({
    port,
    login: { tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } },
    settings: {
      port: 0,
      'tls-port': port,
      'tls-cert-file': files.cert,
      'tls-key-file': files.key,
      'tls-ca-cert-file': files.ca,
      'tls-auth-clients': asksForCertificate ? 'yes' : 'no',
    },
  })
  return {
    ...server,
    files,
    url: `rediss://127.0.0.1:${port}`,
    stop: async (): Promise<void> => {
      await server.stop()
      await files.remove()
    },
  }
}
