// `webhooks`: looks after the endpoints that are told of what happens.
import { Argument, InvalidArgumentError } from '@commander-js/extra-typings'
import type { DateTime } from 'luxon'
import { requiresHttps } from '../config.ts'
import { parseDuration } from '../config/durations.ts'
import { MAX_ENDPOINTS } from '../domain/webhook-limits.ts'
import { webhookTypes } from '../domain/webhook-types.ts'
import { isoOf } from '../presentation/consent-json.ts'
import { webhookAdministration } from '../store/webhook-endpoints.ts'
import type { Endpoint, LoggedTry } from '../store/webhook-port.ts'
import { urlProblem } from '../webhooks/public-address.ts'
import { newWebhookSecret } from '../webhooks/signature.ts'
import {
  CommandFailed,
  dateOrSpan,
  type Define,
  didYouMean,
  examples,
  json,
  once,
  text,
  wholeNumber,
} from './command.ts'
import { withStore, type Opened } from './open.ts'
import type { Terminal } from './terminal.ts'
import { count, dateText, table } from './text.ts'
import { UsageError } from './usage-error.ts'

const actions = ['add', 'list', 'remove', 'rotate-secret', 'enable', 'replay', 'cancel-replays', 'deliveries'] as const
type Action = (typeof actions)[number]

const types = once((value) =>
  value.split(',').map((name) => {
    const found = webhookTypes.find((type) => type === name.trim())
    if (found !== undefined) return found
    const known = webhookTypes.join(', ')
    throw new InvalidArgumentError(`Types are ${known}.${didYouMean(name.trim(), webhookTypes)}`)
  }),
)

const MAX_OVERLAP_DAYS = 30
const overlap = once((value) => {
  const parsed = parseDuration(value)
  if (!('problem' in parsed) && parsed.as('days') <= MAX_OVERLAP_DAYS) return parsed
  throw new InvalidArgumentError(`It must be a time such as 24h, at most ${MAX_OVERLAP_DAYS}d.`)
})

interface Options {
  readonly types?: readonly string[] | undefined
  readonly overlap?: ReturnType<typeof overlap> | undefined
  readonly from?: DateTime | undefined
  readonly to?: DateTime | undefined
  readonly failed?: true | undefined
  readonly limit?: number | undefined
  readonly json?: true | undefined
}

/** The options that an action has, besides --json. */
const optionsOf: Readonly<Record<Action, readonly (keyof Options)[]>> = {
  add: ['types'],
  list: [],
  remove: [],
  'rotate-secret': ['overlap'],
  enable: [],
  replay: ['from', 'to'],
  'cancel-replays': [],
  deliveries: ['failed', 'limit'],
}

const takes: Readonly<Record<Action, { readonly what: 'URL' | 'ID'; readonly must: boolean } | undefined>> = {
  add: { what: 'URL', must: true },
  list: undefined,
  remove: { what: 'ID', must: true },
  'rotate-secret': { what: 'ID', must: true },
  enable: { what: 'ID', must: true },
  replay: { what: 'ID', must: true },
  'cancel-replays': { what: 'ID', must: true },
  deliveries: { what: 'ID', must: false },
}

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `add URL           Adds an endpoint, which is told of what happens from now on, and prints its secret: once, here.
list              Shows the endpoints, and what waits for each.
remove ID         Removes an endpoint, its secrets and what waits for it. What is on its way ends within half a
                  minute. The log of its deliveries stays.
rotate-secret ID  Makes another secret and prints it. Both sign until --overlap is over (24h by default).
enable ID         Takes up an endpoint that was disabled (410, or three days without a success). What waited is
                  sent within a minute.
replay ID         Sends the events of a time again, with the ids that they had: --from (needed) and --to (now by
                  default). What is new is sent beside it.
cancel-replays ID Ends the replays of an endpoint that are not done yet.
deliveries        Shows the last tries (of all, or of the endpoint ID), the newest first. They are kept for 30 days.

docs/webhooks.md says what an endpoint receives, and how it verifies that. Running workers notice a new endpoint
within a minute.`,
    )
    .addArgument(new Argument(`<${actions.join('|')}>`).choices(actions))
    .argument('[URL|ID]', 'of the endpoint', text)
    .option('--types <TYPES>', 'what the endpoint is told of, by commas; all by default', types)
    .option('--overlap <TIME>', 'how long the secrets before sign as well; 0s: not at all', overlap)
    .option('--from <WHEN>', 'a date, an instant, or a time before now (3d)', dateOrSpan('before now'))
    .option('--to <WHEN>', 'the same: the first that is not sent again', dateOrSpan('before now'))
    .option('--failed', 'only tries that failed')
    .option('--limit <N>', 'at most this many (50 by default)', wholeNumber(1, 10_000))
    .addOption(json)
    .addHelpText(
      'after',
      examples(
        'reconsent webhooks add https://hooks.example.com/reconsent --types consent.renewed,consent.lapsed',
        'reconsent webhooks replay 7d0e4f8a-4c1b-4f0e-9b1e-0d5a2c6f1e33 --from 2026-12-01 --to 2026-12-02',
        'reconsent webhooks deliveries --failed',
      ),
    )
    .action(
      exits(async (action, target, options) => {
        checkUsage(action, target, options)
        const id = target ?? ''
        switch (action) {
          case 'add':
            return withStore(['keys'], async (opened) => add(terminal, opened, id, options))
          case 'list':
            return withStore([], async (opened) => list(terminal, opened, options))
          case 'remove':
            return withStore([], async (opened) => remove(terminal, opened, id, options))
          case 'rotate-secret':
            return withStore(['keys'], async (opened) => rotate(terminal, opened, id, options))
          case 'enable':
            return withStore([], async (opened) => enable(terminal, opened, id, options))
          case 'replay':
            return withStore([], async (opened) => replay(terminal, opened, id, options))
          case 'cancel-replays':
            return withStore([], async (opened) => cancelReplays(terminal, opened, id, options))
          case 'deliveries':
            return withStore([], async (opened) => deliveries(terminal, opened, target, options))
        }
      }),
    )

/** One command has the options of all its actions: those of another are refused. */
const checkUsage = (action: Action, target: string | undefined, options: Options): void => {
  const { what, must } = takes[action] ?? { what: undefined, must: false }
  if (what === undefined && target !== undefined) throw new UsageError(`webhooks ${action} takes no argument`)
  if (must && target === undefined) throw new UsageError(`webhooks ${action} needs the ${what} of the endpoint`)
  const other = Object.keys(options).find(
    (name) => name !== 'json' && !optionsOf[action].includes(name as keyof Options),
  )
  if (other !== undefined) throw new UsageError(`webhooks ${action} has no option --${other}`)
  if (action !== 'replay') return
  const { from, to } = options
  if (from === undefined) throw new UsageError('webhooks replay needs --from')
  if (to !== undefined && to <= from) throw new UsageError('--to must be later than --from')
}

const noSuchEndpoint = (): never => {
  throw new CommandFailed('there is no endpoint with this id: see reconsent webhooks list')
}

const whyNotAdded = {
  known: 'an endpoint has this address already: see reconsent webhooks list',
  full: `there are ${MAX_ENDPOINTS} endpoints, as many as there may be: remove one first`,
} as const

const add = async (
  terminal: Terminal,
  { db, clock, config }: Opened<'keys'>,
  url: string,
  { types: wanted = [], ...options }: Options,
): Promise<number> => {
  const problem = urlProblem(url, { isDevelopment: !requiresHttps(config) })
  if (problem !== undefined) throw new CommandFailed(`the address ${problem}`)
  const secret = newWebhookSecret()
  const added = await webhookAdministration(db).addEndpoint({ url, types: wanted, secret, now: clock.now() })
  if (added.kind !== 'added') throw new CommandFailed(whyNotAdded[added.kind])
  if (options.json) await terminal.json({ id: added.id, url, types: wanted, secret: secret.reveal() })
  else
    await terminal.line(
      table([
        ['ID', added.id],
        ['SECRET', secret.reveal()],
      ]),
    )
  terminal.note('the secret is shown this once: keep it where the endpoint verifies signatures')
  return 0
}

const endpointJson = (endpoint: Endpoint) => ({
  id: endpoint.id,
  url: endpoint.url,
  types: endpoint.types,
  status: endpoint.status,
  disabled_reason: endpoint.disabledReason ?? null,
  disabled_at: isoOf(endpoint.disabledAt),
  is_away: endpoint.isAway,
  failing_since: isoOf(endpoint.failingSince),
  rests_until: isoOf(endpoint.restsUntil),
  delivered_at: isoOf(endpoint.deliveredAt),
  created_at: isoOf(endpoint.createdAt),
  behind: endpoint.behind,
  failing_consents: endpoint.failingConsents,
  secrets: endpoint.secrets,
  replays: endpoint.replays,
})

const statusOf = ({ status, disabledReason, isAway }: Endpoint): string => {
  if (status === 'disabled') return `disabled (${disabledReason})`
  return isAway ? 'away' : status
}

const list = async (terminal: Terminal, { db }: Opened<never>, options: Options): Promise<number> => {
  const endpoints = await webhookAdministration(db).listEndpoints()
  if (options.json) {
    await terminal.json({ endpoints: endpoints.map(endpointJson) })
    return 0
  }
  const rows = endpoints.map((endpoint) => [
    endpoint.id,
    statusOf(endpoint),
    dateText(endpoint.deliveredAt),
    dateText(endpoint.failingSince),
    endpoint.behind.toLocaleString('en'),
    endpoint.failingConsents.toLocaleString('en'),
    endpoint.types.length === 0 ? 'all' : endpoint.types.join(','),
    endpoint.url,
  ])
  await terminal.line(
    table([['ID', 'STATUS', 'LAST DELIVERY', 'FAILING SINCE', 'BEHIND', 'FAILING CONSENTS', 'TYPES', 'URL'], ...rows]),
  )
  return 0
}

const say = async (terminal: Terminal, { json: asJson }: Options, result: string, detail: string): Promise<number> => {
  if (asJson) await terminal.json({ result, detail })
  else await terminal.line(detail)
  return 0
}

const remove = async (terminal: Terminal, { db }: Opened<never>, id: string, options: Options): Promise<number> => {
  if (!(await webhookAdministration(db).removeEndpoint(id))) noSuchEndpoint()
  return say(terminal, options, 'done', 'removed')
}

const rotate = async (
  terminal: Terminal,
  { db, clock }: Opened<'keys'>,
  id: string,
  options: Options,
): Promise<number> => {
  const secret = newWebhookSecret()
  const now = clock.now()
  const ends = now.plus(options.overlap ?? { hours: 24 })
  if (!(await webhookAdministration(db).rotateSecret(id, secret, now, ends))) noSuchEndpoint()
  if (options.json) await terminal.json({ id, secret: secret.reveal(), others_sign_until: isoOf(ends) })
  else
    await terminal.line(
      table([
        ['SECRET', secret.reveal()],
        ['OTHERS SIGN UNTIL', dateText(ends)],
      ]),
    )
  terminal.note('the secret is shown this once: keep it where the endpoint verifies signatures')
  return 0
}

const enable = async (
  terminal: Terminal,
  { db, clock }: Opened<never>,
  id: string,
  options: Options,
): Promise<number> => {
  const answer = (await webhookAdministration(db).enableEndpoint(id, clock.now())) ?? noSuchEndpoint()
  return answer === 'enabled'
    ? say(terminal, options, 'done', 'enabled: what waited is sent within a minute')
    : say(terminal, options, 'unchanged', 'it is enabled already')
}

const replay = async (
  terminal: Terminal,
  { db, clock }: Opened<never>,
  id: string,
  { from, to, ...options }: Options,
): Promise<number> => {
  const now = clock.now()
  const time = { from: from ?? now, to: to ?? now, now }
  const found = (await webhookAdministration(db).requestReplay(id, time)) ?? noSuchEndpoint()
  if (options.json)
    await terminal.json({
      result: found.events === 0 ? 'unchanged' : 'done',
      events: found.events,
      from: isoOf(time.from),
      to: isoOf(time.to),
    })
  else
    await terminal.line(
      found.events === 0 ? 'no event of that time is told' : `up to ${count(found.events, 'event')} will be sent again`,
    )
  return 0
}

const cancelReplays = async (
  terminal: Terminal,
  { db }: Opened<never>,
  id: string,
  options: Options,
): Promise<number> => {
  const cancelled = (await webhookAdministration(db).cancelReplays(id)) ?? noSuchEndpoint()
  return cancelled === 0
    ? say(terminal, options, 'unchanged', 'it has no replay')
    : say(terminal, options, 'done', `${count(cancelled, 'replay')} ended`)
}

const tryJson = (one: LoggedTry) => ({
  endpoint_id: one.endpointId,
  webhook_id: one.webhookId,
  credentials_id: one.credentialsId ?? null,
  type: one.type,
  sequence: one.seq,
  at: isoOf(one.at),
  result: one.result,
  attempt: one.attempt,
  status_code: one.statusCode ?? null,
  detail: one.detail ?? null,
  took_ms: one.tookMs,
  is_replay: one.isReplay,
})

const DELIVERIES_SHOWN = 50

const deliveries = async (
  terminal: Terminal,
  { db }: Opened<never>,
  endpointId: string | undefined,
  options: Options,
): Promise<number> => {
  const tries = await webhookAdministration(db).listDeliveries({
    endpointId,
    failedOnly: options.failed === true,
    limit: options.limit ?? DELIVERIES_SHOWN,
  })
  if (options.json) {
    await terminal.json({ deliveries: tries.map(tryJson) })
    return 0
  }
  const rows = tries.map((one) => [
    dateText(one.at),
    one.endpointId.slice(0, 8),
    one.credentialsId ?? '-',
    String(one.seq),
    one.type,
    `${one.result}${one.isReplay ? ' (replay)' : ''}`,
    String(one.attempt),
    String(one.statusCode ?? one.detail ?? '-'),
    `${one.tookMs} ms`,
  ])
  await terminal.line(
    table([['AT', 'ENDPOINT', 'CREDENTIALS ID', 'SEQUENCE', 'TYPE', 'RESULT', 'TRY', 'ANSWER', 'TOOK'], ...rows]),
  )
  return 0
}
