// `unsupersede`: reopens consents that imports closed by the old rule `import.supersedeOlder`, which mistook two logins
// at a bank for one.
import type { DateTime } from 'luxon'
import { isoOf } from '../presentation/consent-json.ts'
import type { Reopened, ReopenFilter, ReopenPage } from '../store/administration-port.ts'
import { dateOrSpan, type Define, examples, json, reason, text } from './command.ts'
import { operatorName, type Opened, withStore } from './open.ts'
import type { Terminal } from './terminal.ts'
import { count, dateText, table } from './text.ts'

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Reopens consents that an import closed because another consent of the same user at the same bank had a later
date. That rule, import.supersedeOlder, was removed, because a person may have two logins at one bank. Each
consent comes back with the status that it had (active, paused, quarantined, lapsed or unsupported), in its
own cycle. For an active one, only the message that is due now is sent, unless it was sent in that cycle
already. Two kinds stay closed: consents that a full authentication replaced, and those that an import names
in the field supersedes. So import that field first, for logins that really were replaced.

With --dry-run it changes nothing and lists what would be reopened. It may be interrupted and run again: what
was reopened stays so.`,
    )
    .option('--dry-run', 'only list what would be reopened')
    .option('--user <ID>', 'only of this user_id', text)
    .option('--provider <ID>', 'only at this bank (provider_id)', text)
    .option(
      '--since <WHEN>',
      'only those closed since a date (2026-11-01) or a time before now (14d)',
      dateOrSpan('before now'),
    )
    .addOption(reason)
    .addOption(json)
    .addHelpText(
      'after',
      examples(
        'reconsent unsupersede --dry-run',
        'reconsent unsupersede --since 2026-11-01 --reason "two logins are ordinary"',
      ),
    )
    .action(exits(async (options) => withStore([], async (opened) => reopen(terminal, opened, options))))

interface Options {
  readonly user?: string
  readonly provider?: string
  readonly since?: DateTime
  readonly reason?: string
  readonly dryRun?: boolean
  readonly json?: boolean
}

const reopen = async (terminal: Terminal, opened: Opened<never>, options: Options): Promise<number> => {
  const filter: ReopenFilter = {
    userId: options.user,
    providerId: options.provider,
    since: options.since,
  }
  const dryRun = options.dryRun === true
  const asJson = options.json
  const becomes: Record<string, number> = {}
  let [total, kept] = [0, 0]
  if (asJson) await terminal.write(`{"dry_run": ${dryRun}, "consents": [`)
  for await (const page of pages(opened, filter, options)) {
    const { reopened } = page
    for (const { consent } of reopened) becomes[consent.status] = (becomes[consent.status] ?? 0) + 1
    if (asJson && reopened.length > 0)
      await terminal.write(
        `${total === 0 ? '' : ','}\n${reopened.map((consent) => JSON.stringify(jsonOf(consent))).join(',\n')}`,
      )
    if (!asJson && reopened.length > 0)
      await terminal.line(table([...(total === 0 ? [HEADER] : []), ...reopened.map(cellsOf)]))
    total += reopened.length
    kept += page.kept
  }
  if (asJson) {
    await terminal.write(`\n], "counts": ${JSON.stringify({ reopened: total, ...becomes, kept })}}\n`)
    return 0
  }
  const kinds = Object.entries(becomes).map(([status, number]) => `${number.toLocaleString('en')} ${status}`)
  const said =
    `${count(total, 'consent')} ` +
    `${dryRun ? 'would be reopened' : 'reopened'}${kinds.length === 0 ? '' : ` (${kinds.join(', ')})`}`
  await terminal.line(
    `${said}; ${kept.toLocaleString('en')} left closed, because an import says that they were ` +
      `superseded${dryRun ? '. Nothing was changed.' : ''}`,
  )
  return 0
}

async function* pages(
  { store, clock }: Opened<never>,
  filter: ReopenFilter,
  options: Options,
): AsyncGenerator<ReopenPage> {
  const why = options.reason ?? 'an import had taken it for an older one of the same login'
  let afterId: string | undefined
  do {
    const page = await store.reopenPage(filter, {
      now: clock.now(),
      reason: why,
      by: operatorName(),
      dryRun: options.dryRun === true,
      afterId,
    })
    yield page
    afterId = page.lastId
  } while (afterId !== undefined)
}

const HEADER = ['CREDENTIALS ID', 'USER', 'BANK', 'CLOSED', 'FOR', 'BECOMES', 'EXPIRES', 'NEXT LOOK', 'WHY']
const cellsOf = ({ consent, closedAt, supersededBy }: Reopened): string[] => [
  consent.credentialsId,
  consent.userId,
  consent.providerId,
  dateText(closedAt),
  supersededBy,
  consent.status,
  dateText(consent.expiresAt),
  dateText(consent.nextActionAt),
  consent.nextActionReason ?? '',
]

const jsonOf = ({ consent, closedAt, supersededBy }: Reopened) => ({
  id: consent.id,
  credentials_id: consent.credentialsId,
  user_id: consent.userId,
  provider_id: consent.providerId,
  superseded_at: isoOf(closedAt),
  superseded_by: supersededBy,
  becomes: consent.status,
  cycle: consent.cycle,
  expires_at: isoOf(consent.expiresAt),
  next_action_at: isoOf(consent.nextActionAt),
  next_action_reason: consent.nextActionReason ?? null,
})
