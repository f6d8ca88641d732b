// The state of the circuit breaker: counted failures, open circuits, and when the next trial call may be made.
import type { Database } from './database.ts'
import type { CircuitName, ProviderHealth } from './port.ts'
import { instant } from './rows.ts'

export const providerHealth = ({ prisma }: Database): ProviderHealth => ({
  getOpenCircuits: async () => {
    const rows = await prisma.openCircuit.findMany()
    return rows.map((row) => ({
      code: row.name as CircuitName,
      since: instant(row.since),
      trialAt: instant(row.trialAt),
    }))
  },

  // One UPDATE decides which of many workers makes the next trial call.
  takeTrial: async (code, now, every) => {
    const { count } = await prisma.openCircuit.updateMany({
      where: { name: code, trialAt: { lte: now.toJSDate() } },
      data: { trialAt: now.plus(every).toJSDate() },
    })
    return count === 1
  },

  countFailure: async ({ code, connection, now, since, threshold, trialEvery }) =>
    prisma.$transaction(async (tx) => {
      const at = now.toJSDate()
      await tx.$executeRaw`
        INSERT INTO provider_failures (code, connection, at) VALUES (${code}, ${connection}, ${at})
        ON CONFLICT (code, connection) DO UPDATE SET at = ${at}`
      const failures = await tx.providerFailure.count({ where: { code, at: { gte: since.toJSDate() } } })
      if (failures < threshold) return false
      // The code is the key of the row, so at most one circuit of each kind is open.
      const { count } = await tx.openCircuit.createMany({
        data: [{ name: code, since: at, trialAt: now.plus(trialEvery).toJSDate() }],
        skipDuplicates: true,
      })
      return count === 1
    }),

  closeCircuit: async (code) => {
    // Reads before it deletes: this runs after every successful call, and there is almost never anything to delete.
    const [failure, circuit] = await Promise.all([
      prisma.providerFailure.findFirst({ where: { code } }),
      prisma.openCircuit.findUnique({ where: { name: code } }),
    ])
    if (failure === null && circuit === null) return false
    await prisma.providerFailure.deleteMany({ where: { code } })
    const { count } = await prisma.openCircuit.deleteMany({ where: { name: code } })
    return count > 0
  },
})
