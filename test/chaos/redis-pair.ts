// The Redis of a run: a primary and its replica that take turns. A failover leaves the connections of the old primary
// where they are.
import { startPair } from '../setup/redis-topologies.ts'

export const startRedisPair = async () => {
  const pair = await startPair()
  let [primary, replica] = [pair.first, pair.second]
  /** What a server has refused since it started, because it was a replica. */
  const refused = async (server: typeof primary): Promise<number> =>
    server.ask(async (client) =>
      Number(/errorstat_READONLY:count=(\d+)/.exec(await client.info('errorstats'))?.[1] ?? 0),
    )
  return {
    /** Of the primary, now. */
    port: (): number => primary.port,
    /** As a crash would; `start` brings it back as what it was. */
    kill: async (): Promise<void> => primary.kill(),
    start: async (): Promise<void> => primary.start(),
    /** The replica is promoted, the old primary follows it. Answers how to count whom the old one has refused since. */
    failOver: async (): Promise<() => Promise<number>> => {
      const [old, next] = [primary, replica]
      const before = await refused(old)
      await pair.failOver(old, next)
      ;[primary, replica] = [next, old]
      return async () => (await refused(old)) - before
    },
    stop: pair.stop,
  }
}
