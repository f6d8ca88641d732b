// `sweep`: looks for due consents once; with --dry-run it only prints what it would do.
import { isoOf } from '../presentation/consent-json.ts'
import { nextActionJson, nextActionWords } from '../presentation/explanation.ts'
import type { ConsentView } from '../domain/model.ts'
import { nextAction } from '../domain/next-action.ts'
import { makeLog } from '../log.ts'
import { placeEvents } from '../processors/place-events.ts'
import { sweep } from '../processors/sweep.ts'
import { type Define, examples, json } from './command.ts'
import { withStore, type Opened } from './open.ts'
import type { Terminal } from './terminal.ts'
import { count, table } from './text.ts'

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Dispatches everything that is due to the queue now, as the scheduler does by itself; the workers do the rest.
Running it beside the scheduler is safe. With --dry-run it changes nothing, needs no queue, and prints for
each due consent what would be done, for whom and why.`,
    )
    .option('--dry-run', 'only print what would be done')
    .addOption(json)
    .addHelpText('after', examples('reconsent sweep --dry-run', 'reconsent sweep'))
    .action(
      exits(async (options) => {
        const asJson = options.json === true
        return options.dryRun
          ? withStore([], async (opened) => dryRun(terminal, opened, asJson))
          : withStore(['queue'], async (opened) => sweepNow(terminal, opened, asJson))
      }),
    )

const sweepNow = async (
  terminal: Terminal,
  { config, store, clock }: Opened<'queue'>,
  asJson: boolean,
): Promise<number> => {
  const { openBackend } = await import('../queue/backend.ts')
  const { plansFor } = await import('../queue/catalogue.ts')
  const { makeWorkQueue } = await import('../queue/work-queue.ts')
  const log = makeLog({ level: config.logLevel, to: 'stderr' })
  const { pageSize, maxWaiting, queuedFor } = config.timing
  const backend = await openBackend(config.queue, { log, plans: plansFor(config.timing) })
  try {
    const outcome = await sweep({ store, queue: makeWorkQueue(backend), clock, log, pageSize, maxWaiting, queuedFor })()
    await placeEvents({ store })(new AbortController().signal)
    const said = outcome.kind === 'done' ? outcome.what : outcome.reason
    if (asJson) await terminal.json({ result: outcome.kind, detail: said })
    else await terminal.line(said)
    return 0
  } finally {
    await backend.close()
  }
}

const dryRun = async (terminal: Terminal, opened: Opened<never>, asJson: boolean): Promise<number> => {
  const { store, clock, config } = opened
  const now = clock.now()
  const acts: Record<string, number> = {}
  let total = 0
  if (asJson) await terminal.write('{"consents": [')
  for await (const page of duePages(opened)) {
    const planned = page.map((view) => ({ consent: view.consent, next: nextAction(view, now, config.policy) }))
    for (const { next } of planned) acts[next.action] = (acts[next.action] ?? 0) + 1
    if (asJson) {
      const lines = planned.map(({ consent, next }) =>
        JSON.stringify({
          id: consent.id,
          credentials_id: consent.credentialsId,
          user_id: consent.userId,
          provider_id: consent.providerId,
          due_since: isoOf(consent.nextActionAt),
          ...nextActionJson(next),
        }),
      )
      await terminal.write(`${total === 0 ? '' : ','}\n${lines.join(',\n')}`)
    } else {
      const rows = planned.map(({ consent, next }) => [
        consent.credentialsId,
        consent.userId,
        consent.providerId,
        nextActionWords(next),
        next.reason,
      ])
      await terminal.line(
        table([...(total === 0 ? [['CREDENTIALS ID', 'USER', 'BANK', 'WOULD', 'BECAUSE']] : []), ...rows]),
      )
    }
    total += page.length
  }
  const [messages, codes] = await Promise.all([
    store.countDue('notification', now),
    store.countDue('authorisation', now),
  ])
  if (asJson)
    await terminal.write(
      `\n], "counts": ` +
        `${JSON.stringify({ consents: total, ...acts, messages_waiting: messages, exchanges_waiting: codes })}}\n`,
    )
  else {
    const kinds = Object.entries(acts).map(([action, number]) => `${number} ${action}`)
    terminal.note(
      `${count(total, 'consent')} due${kinds.length === 0 ? '' : ` (${kinds.join(', ')})`}; ` +
        `${count(messages, 'message')} and ${count(codes, 'exchange')} waiting. Nothing was changed.`,
    )
  }
  return 0
}

/** The first page is small, so that its lines are there at once. */
const FIRST_PAGE = 100

async function* duePages({ store, clock }: Opened<never>): AsyncGenerator<ConsentView[]> {
  const now = clock.now()
  let after: { at: typeof now; id: string } | undefined
  for (;;) {
    const page = await store.pageDue(now, { after, limit: after === undefined ? FIRST_PAGE : undefined })
    if (page.length === 0) return
    yield page
    const last = page.at(-1)?.consent
    if (last?.nextActionAt === undefined) return
    after = { at: last.nextActionAt, id: last.id }
  }
}
