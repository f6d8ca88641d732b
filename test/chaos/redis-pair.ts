// The Redis of a run: a primary and its replica, which change roles. A failover leaves open connections on the old
// primary.
import { startPair } from '../setup/redis-topologies.ts'

export const startRedisPair = async () => {
  const pair = await startPair()
  let [primary, replica] = [pair.first, pair.second]
  /** The number of commands that a server has refused since its start because it was a replica. */
  const refused = async (server: typeof primary): Promise<number> =>
    server.ask(async (client) =>
      Number(/errorstat_READONLY:count=(\d+)/.exec(await client.info('errorstats'))?.[1] ?? 0),
    )
  return {
    /** The port of the present primary. */
    port: (): number => primary.port,
    /** Kills the primary as a crash would; `start` brings it back as the primary. */
    kill: async (): Promise<void> => primary.kill(),
    start: async (): Promise<void> => primary.start(),
    /**
     * Promotes the replica, which the old primary then follows. Returns a function that counts the commands that the
     * old primary has refused since.
     */
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
