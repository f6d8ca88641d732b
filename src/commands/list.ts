// `list`: prints consents, page by page.
import { consentTransitions } from '../domain/lifecycle.ts'
import type { Consent, ConsentStatus } from '../domain/model.ts'
import { gatherFacts } from '../domain/next-action.ts'
import { aloneOf, consentJson } from '../presentation/consent-json.ts'
import type { ConsentFilter } from '../store/port.ts'
import { dateOrSpan, type Define, examples, json, oneOf, text, wholeNumber } from './command.ts'
import { withStore, type Opened } from './open.ts'
import type { Terminal } from './terminal.ts'
import { count, dateText, table } from './text.ts'

const statuses = Object.keys(consentTransitions) as ConsentStatus[]

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Lists all consents, or those that match every option given. With --json it prints one array, written while
it is read, so that the number of consents does not matter.`,
    )
    .option('--status <STATUS>', statuses.join(', '), oneOf(statuses))
    .option('--user <ID>', 'of this user_id', text)
    .option('--provider <ID>', 'at this bank (provider_id)', text)
    .option('--expires-before <WHEN>', 'a date (2026-12-31) or a time from now (14d)', dateOrSpan('from now'))
    // commander sets the default of such an option only where it is declared before parsing begins.
    .option('--no-channel', 'only those whose user has no usable address', true)
    .option('--limit <N>', 'at most this many', wholeNumber(1, 1_000_000_000))
    .addOption(json)
    .addHelpText(
      'after',
      examples('reconsent list --status active --expires-before 14d', 'reconsent list --no-channel --json'),
    )
    .action(
      exits(async ({ status, user, provider, expiresBefore, channel, limit, ...options }) => {
        const filter = {
          status,
          userId: user,
          providerId: provider,
          expiresBefore,
          withoutChannel: channel ? undefined : true,
        } satisfies ConsentFilter & Record<keyof ConsentFilter, unknown>
        return withStore([], async (opened) =>
          options.json ? listJson(terminal, opened, filter, limit) : listTable(terminal, opened, filter, limit),
        )
      }),
    )

/** The first page is small, so that its lines are there at once. */
const FIRST_PAGE = 100
const PAGE = 1000

async function* pages(
  { store }: Opened<never>,
  filter: ConsentFilter,
  limit: number | undefined,
): AsyncGenerator<Consent[]> {
  let left = limit ?? Number.POSITIVE_INFINITY
  let afterId: string | undefined
  while (left > 0) {
    const wanted = Math.min(left, afterId === undefined ? FIRST_PAGE : PAGE)
    const page = await store.pageConsents(filter, { afterId, limit: wanted })
    if (page.length > 0) yield page
    if (page.length < wanted) return
    left -= page.length
    afterId = page.at(-1)?.id
  }
}

const listJson = async (
  terminal: Terminal,
  opened: Opened<never>,
  filter: ConsentFilter,
  limit: number | undefined,
): Promise<number> => {
  const now = opened.clock.now()
  let separator = '['
  for await (const page of pages(opened, filter, limit)) {
    const lines = page.map((consent) => JSON.stringify(consentJson(consent, now, opened.config.policy)))
    await terminal.write(`${separator}\n${lines.join(',\n')}`)
    separator = ','
  }
  await terminal.write(separator === '[' ? '[]\n' : '\n]\n')
  return 0
}

const listTable = async (
  terminal: Terminal,
  opened: Opened<never>,
  filter: ConsentFilter,
  limit: number | undefined,
): Promise<number> => {
  const now = opened.clock.now()
  let total = 0
  for await (const page of pages(opened, filter, limit)) {
    const rows = page.map((consent) => {
      const { phase } = gatherFacts(aloneOf(consent), now, opened.config.policy)
      return [
        consent.id,
        consent.credentialsId,
        consent.providerId,
        consent.status,
        phase,
        dateText(consent.expiresAt),
        dateText(consent.nextActionAt),
        consent.nextActionReason ?? '',
      ]
    })
    const header =
      total === 0 ? [['ID', 'CREDENTIALS ID', 'BANK', 'STATUS', 'PHASE', 'EXPIRES', 'NEXT LOOK', 'WHY']] : []
    await terminal.line(table([...header, ...rows]))
    total += page.length
  }
  terminal.note(total === 0 ? 'no consents' : count(total, 'consent'))
  return 0
}
