// What recent calls say about the provider as a whole: rejections that are our own fault put calls on hold, one probes
// a minute.
import type { Database } from './database.ts'
import type { HoldCode, ProviderHealth } from './port.ts'
import { instant } from './rows.ts'

export const providerHealth = ({ prisma }: Database): ProviderHealth => ({
  getHolds: async () => {
    const rows = await prisma.providerHold.findMany()
    return rows.map((row) => ({ code: row.code as HoldCode, since: instant(row.since), probeAt: instant(row.probeAt) }))
  },

  // One UPDATE decides which of many workers is this minute's probe.
  takeProbe: async (code, now, every) => {
    const { count } = await prisma.providerHold.updateMany({
      where: { name: code, probeAt: { lte: now.toJSDate() } },
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
      // A hold is named by its code: one of each kind at most.
      const { count } = await tx.providerHold.createMany({
        data: [{ name: code, since: at, code, probeAt: now.plus(probeEvery).toJSDate() }],
        skipDuplicates: true,
      })
      return count === 1
    }),

  clear: async (code) => {
    // Read first: on the path of every good call, and there is almost never anything to delete.
    const [strike, hold] = await Promise.all([
      prisma.providerStrike.findFirst({ where: { code } }),
      prisma.providerHold.findUnique({ where: { name: code } }),
    ])
    if (strike === null && hold === null) return false
    await prisma.providerStrike.deleteMany({ where: { code } })
    const { count } = await prisma.providerHold.deleteMany({ where: { name: code } })
    return count > 0
  },
})
