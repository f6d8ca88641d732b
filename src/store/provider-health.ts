// What recent calls say about the provider as a whole: rejections of our own credentials put every call on hold, one probes a minute.
import type { ErrorCode } from '../errors.ts'
import type { Database } from './database.ts'
import type { ProviderHealth } from './port.ts'
import { instant } from './rows.ts'

const NAME = 'truelayer'

export const providerHealth = ({ prisma }: Database): ProviderHealth => ({
  getHold: async () => {
    const row = await prisma.providerHold.findUnique({ where: { name: NAME } })
    return row === null ? undefined : { code: row.code as ErrorCode, since: instant(row.since), probeAt: instant(row.probeAt) }
  },

  // One UPDATE decides which of many workers is this minute's probe.
  takeProbe: async (now, every) => {
    const { count } = await prisma.providerHold.updateMany({
      where: { name: NAME, probeAt: { lte: now.toJSDate() } },
      data: { probeAt: now.plus(every).toJSDate() },
    })
    return count === 1
  },

  strike: async ({ code, connection, now, since, threshold, probeEvery }) =>
    prisma.$transaction(async (tx) => {
      const at = now.toJSDate()
      await tx.$executeRaw`
        INSERT INTO provider_strikes (code, connection, at) VALUES (${code}, ${connection}, ${at})
        ON CONFLICT (code, connection) DO UPDATE SET at = ${at}`
      const strikes = await tx.providerStrike.count({ where: { code, at: { gte: since.toJSDate() } } })
      if (strikes < threshold) return false
      const { count } = await tx.providerHold.createMany({
        data: [{ name: NAME, since: at, code, probeAt: now.plus(probeEvery).toJSDate() }],
        skipDuplicates: true,
      })
      return count === 1
    }),

  clear: async () => {
    // Read first: on the path of every good call, and there is almost never anything to delete.
    const [strike, hold] = await Promise.all([prisma.providerStrike.findFirst(), prisma.providerHold.findUnique({ where: { name: NAME } })])
    if (strike === null && hold === null) return false
    await prisma.providerStrike.deleteMany()
    const { count } = await prisma.providerHold.deleteMany({ where: { name: NAME } })
    return count > 0
  },
})
