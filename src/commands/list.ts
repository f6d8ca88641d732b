// `list`: prints consents, page by page.
import { DateTime } from 'luxon'
import { parseDuration } from '../config/durations.ts'
import { type Clock, systemClock } from '../clock.ts'
import { consentTransitions } from '../domain/lifecycle.ts'
import type { Consent, ConsentStatus } from '../domain/model.ts'
import { consentJson } from '../presentation/consent-json.ts'
import type { ConsentFilter } from '../store/port.ts'
import { type Call, type Command, json, oneOf, UsageError, wholeNumber } from './command.ts'
import { withStore, type Opened } from './open.ts'
import { count, dateText, table } from './text.ts'

const statuses = Object.keys(consentTransitions) as ConsentStatus[]

export const command: Command = {
  usage: '[--status S] [--user ID] [--provider ID] [--expires-before WHEN] [--no-channel] [--limit N] [--json]',
  about:
    'Lists consents, all or those that match every option given. With --json: one array, written as it is ' +
    'read, so that any number fits.',
  arguments: [],
  options: {
    status: { type: 'string', value: 'STATUS', help: statuses.join(', ') },
    user: { type: 'string', value: 'ID', help: 'of this user_id' },
    provider: { type: 'string', value: 'ID', help: 'at this bank (provider_id)' },
    'expires-before': { type: 'string', value: 'WHEN', help: 'a date (2026-12-31) or a time from now (14d)' },
    'no-channel': { type: 'boolean', help: 'only those whose user has no usable address' },
    limit: { type: 'string', value: 'N', help: 'at most so many' },
    json,
  },
  examples: ['reconsent list --status active --expires-before 14d', 'reconsent list --no-channel --json'],
  run: async (call) => {
    const filter = filterOf(call, systemClock)
    const limit = wholeNumber(call, 'limit', [1, 1_000_000_000])
    return withStore([], async (opened) =>
      call.flag('json') ? listJson(call, opened, filter, limit) : listTable(call, opened, filter, limit),
    )
  },
}

const filterOf = (call: Call, clock: Clock): ConsentFilter => ({
  status: oneOf(call, 'status', statuses),
  userId: call.text('user'),
  providerId: call.text('provider'),
  expiresBefore: whenOf(call.text('expires-before'), clock),
  withoutChannel: call.flag('no-channel') ? true : undefined,
})

const whenOf = (text: string | undefined, clock: Clock): DateTime | undefined => {
  if (text === undefined) return undefined
  const duration = parseDuration(text)
  if (!('problem' in duration)) return clock.now().plus(duration)
  try {
    return DateTime.fromISO(text, { zone: 'utc' })
  } catch {
    throw new UsageError('--expires-before must be a date such as 2026-12-31, or a time from now such as 14d')
  }
}

async function* pages(
  { store }: Opened<never>,
  filter: ConsentFilter,
  limit: number | undefined,
): AsyncGenerator<Consent[]> {
  let left = limit ?? Number.POSITIVE_INFINITY
  let afterId: string | undefined
  while (left > 0) {
    const wanted = Math.min(left, 1000)
    const page = await store.pageConsents(filter, { afterId, limit: wanted })
    if (page.length > 0) yield page
    if (page.length < wanted) return
    left -= page.length
    afterId = page.at(-1)?.id
  }
}

const listJson = async (
  { terminal }: Call,
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
  { terminal }: Call,
  opened: Opened<never>,
  filter: ConsentFilter,
  limit: number | undefined,
): Promise<number> => {
  const now = opened.clock.now()
  let total = 0
  for await (const page of pages(opened, filter, limit)) {
    const rows = page.map((consent) => {
      const { phase } = consentJson(consent, now, opened.config.policy)
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
