// The sides `cron` and `cron-20`: the nightly script that a company writes with Prisma, so many consents at once as the
// first argument says, and the company's pages in the same process. The callback's handler does the exchange before it
// answers.
import { randomUUID } from 'node:crypto'
import { PrismaPg } from '@prisma/adapter-pg'
import { type Consent, PrismaClient } from '../generated/prisma/client.ts'
import { mailerOf } from './mails.ts'
import { runSide } from './order.ts'
import { servePages } from './pages.ts'
import { hashOf, providerOf } from './provider.ts'

const AT_ONCE = Number(process.argv[2])
const DAYS_BEFORE = 14

await runSide(async (order) => {
  const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: order.databaseUrl }) })
  const provider = providerOf(order)
  const mailer = mailerOf(order)

  const ask = async (consent: Consent): Promise<void> => {
    const { url, state, verifier } = await provider.makeLink(consent.refreshToken)
    const renewal = await prisma.renewal.create({
      data: {
        id: randomUUID(),
        consentId: consent.id,
        status: 'made',
        stateHash: Uint8Array.from(hashOf(state)),
        verifier,
        link: url,
        madeAt: new Date(),
      },
    })
    await mailer.send(renewal.id, consent.email, consent.bank)
    await prisma.renewal.update({ where: { id: renewal.id }, data: { mailedAt: new Date() } })
    await prisma.consent.update({ where: { id: consent.id }, data: { dueAt: null } })
  }

  const night = async (): Promise<void> => {
    const due = await prisma.consent.findMany({ where: { dueAt: { lte: new Date() } }, orderBy: { dueAt: 'asc' } })
    const askOneByOne = async (): Promise<void> => {
      for (let next = due.shift(); next !== undefined; next = due.shift()) await ask(next)
    }
    await Promise.all(Array.from({ length: AT_ONCE }, askOneByOne))
  }

  const finish = async (state: string, code: string): Promise<boolean> => {
    const renewal = await prisma.renewal.findUnique({
      where: { stateHash: Uint8Array.from(hashOf(state)) },
      include: { consent: true },
    })
    if (renewal === null) return false
    const { id, consent, verifier } = renewal
    const { accessToken, refreshToken } = await provider.exchange(code, verifier)
    await prisma.consent.update({ where: { id: consent.id }, data: { refreshToken } })
    const expiresAt = await provider.readExpiry(accessToken, consent.credentialsId)
    const dueAt = new Date(expiresAt.getTime() - DAYS_BEFORE * 86_400_000)
    await prisma.consent.update({ where: { id: consent.id }, data: { expiresAt, dueAt } })
    await prisma.renewal.update({ where: { id }, data: { status: 'renewed', renewedAt: new Date() } })
    return true
  }

  let running: Promise<void> | undefined
  const pages = await servePages(order, {
    findRenewal: async (id) => {
      const renewal = await prisma.renewal.findUnique({ where: { id }, include: { consent: true } })
      return renewal === null ? undefined : { bank: renewal.consent.bank, link: renewal.link }
    },
    takeCode: finish,
  })
  return {
    onDue: () => {
      running = night()
    },
    stop: async () => {
      await running
      await pages.close()
      provider.close()
      mailer.close()
      await prisma.$disconnect()
    },
  }
})
