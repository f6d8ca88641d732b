// The automatic demo: plays all users, moves the shared clock where a wait is needed, and returns whether each consent
// ended as it should.
import { actAtOnce, actLater, mailsOf } from './act.ts'
import type { Role } from './cast.ts'
import { judge, type Verdict } from './judge.ts'
import type { Demo } from './run-demo.ts'

/** The time to the next rung of the ladder, for every user in the cast who is notified. */
const TO_THE_NEXT_RUNG = { days: 4 }
const PATIENCE_MS = 25_000
const LOOKS_EVERY_MS = 100

export type Say = (line: string) => void

/** Rejects when something that should happen does not. */
export const playUsers = async (demo: Demo, say: Say): Promise<Verdict[]> => {
  const { cast, simulator, opened } = demo
  const asked = cast.filter((role) => role.deed !== 'is not asked')
  const renewing = (deeds: readonly Role['deed'][]) => cast.filter((role) => deeds.includes(role.deed))

  say(`imported ${cast.length} consents; waiting for the first messages …`)
  await until('the first messages', async () => asked.every((role) => mailsOf(simulator, role).length >= 1))
  say(`${asked.length} users have a message; they go to the bank, or do not …`)
  for (const role of asked) await actAtOnce(simulator, role)
  await until('the renewals', async () => everyRenewed(demo, renewing(['approves', 'clicks twice'])))
  await until('the word about other accounts', async () =>
    renewing(['approves as somebody else']).every((role) => mailsOf(simulator, role).length >= 2),
  )
  say(
    `${renewing(['approves', 'clicks twice']).length} consents are renewed; moving the clock by four days, to ` +
      'the next rung …',
  )

  simulator.clock.advance(TO_THE_NEXT_RUNG)
  const waiting = renewing(['approves from an old mail', 'denies', 'closes the tab', 'ignores'])
  await until('the next messages', async () => waiting.every((role) => mailsOf(simulator, role).length >= 2))
  say('second messages are out; users who kept the first one use its link now …')
  for (const role of cast) await actLater(simulator, role)
  await until('the late renewals', async () => everyRenewed(demo, renewing(['approves from an old mail'])))
  await until('everything to settle', async () => (await openWork(demo)) === 0)

  const firstCycle = async (consentId: string) => {
    const authorisations = await opened.db.prisma.authorisation.findMany({
      where: { consentId, renewal: { cycle: 1 } },
    })
    const notifications = await opened.db.prisma.notification.findMany({ where: { consentId, cycle: 1 } })
    return { statuses: authorisations.map(({ status }) => status), rungs: notifications.map(({ rung }) => rung) }
  }
  return Promise.all(cast.map(async (role) => judge(role, opened.store, simulator, firstCycle)))
}

const everyRenewed = async ({ opened }: Demo, roles: readonly Role[]): Promise<boolean> => {
  const renewed = await opened.db.prisma.consent.count({
    where: { credentialsId: { in: roles.map((role) => role.credentialsId) }, cycle: 2 },
  })
  return renewed === roles.length
}

/** Number of records of any kind that are due now, which the workers will still handle. */
const openWork = async ({ opened: { store }, simulator: { clock } }: Demo): Promise<number> => {
  const due = await Promise.all(
    (['consent', 'authorisation', 'notification'] as const).map(async (kind) => store.countDue(kind, clock.now())),
  )
  return due.reduce((sum, count) => sum + count, 0)
}

const until = async (what: string, happened: () => Promise<boolean>): Promise<void> => {
  const end = Date.now() + PATIENCE_MS
  while (!(await happened())) {
    if (Date.now() > end) throw new Error(`waited ${PATIENCE_MS / 1000} s in vain for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, LOOKS_EVERY_MS))
  }
}

/** The verdicts as a table. */
export const tableOf = (verdicts: readonly Verdict[]): string => {
  const rows = verdicts.map(({ role, endState, reason, wrong }) => [
    `${role.name} (${role.providerName})`,
    role.phase,
    role.deed,
    endState,
    wrong.length === 0 ? reason : `WRONG: ${wrong.join('; ')}`,
  ])
  const head = ['consent', 'at the start', 'the user', 'end state', 'reason']
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd()
  return [line(head), line(widths.map((width) => '─'.repeat(width))), ...rows.map(line)].join('\n')
}

export const summaryOf = (verdicts: readonly Verdict[]): string => {
  const wrong = verdicts.filter((verdict) => verdict.wrong.length > 0).length
  const renewed = verdicts.filter(({ endState }) => endState.startsWith('renewed')).length
  const open = verdicts.filter(({ endState }) => endState.startsWith('open')).length
  const closed = verdicts.length - renewed - open
  return (
    `${verdicts.length} consents: ${renewed} renewed exactly once, ${open} open with a next date, ${closed} ` +
    `closed; ${wrong} wrong`
  )
}
