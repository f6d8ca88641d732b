// `import FILE`: imports consents.
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { formatByName, type ImportFormat, readRows } from '../import/read-rows.ts'
import { type Complaint, importConsents, type ImportCounts } from '../import/import-consents.ts'
import { type Define, examples, json, oneOf, text } from './command.ts'
import { withStore } from './open.ts'
import { makeProgress, type Terminal } from './terminal.ts'
import { count } from './text.ts'
import { UsageError } from './usage-error.ts'

/** The most problems that the JSON lists; standard error shows all of them. */
const MAX_LISTED = 1000

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Imports consents from a file, or from standard input if FILE is -. The file has one JSON object per line
(NDJSON), or is CSV with a header. Required: credentials_id, refresh_token, provider_id, country,
redirect_uri, user_id, and expires_at or consented_at. Optional: provider_name, email, phone, name, locale,
time_zone, scopes, token_issued_at: when the provider issued the token, channels: by which the user may be
written to (none: never), and supersedes: the credentials_id of the connection that this one replaces, which
is then closed.

Importing the same row twice changes nothing. A row with a later date than ours says that the consent was
renewed elsewhere: its cycle is closed as repaired, and its messages are cancelled. No other row moves the
expiry back, except with --correct. A token that differs from ours is kept beside it, whatever the date:
what the provider accepts is used from then on. If PUBLIC_URL is set, a redirect_uri on its host must be
/callback. Bad rows are reported with their line and skipped; good ones are imported. Exit code 1 if any row
was bad.`,
    )
    .argument('<FILE>', 'the file, or - for standard input', text)
    .option(
      '--format <ndjson|csv>',
      'default: by the name of the file, else by its first line',
      oneOf(['ndjson', 'csv']),
    )
    .option('--correct', 'take dates from the file even where they are not later than ours')
    .addOption(json)
    .addHelpText(
      'after',
      examples('reconsent import consents.ndjson', 'zcat consents.csv.gz | reconsent import - --format csv'),
    )
    .action(exits(async (file, options) => importFile(terminal, file, options)))

interface Options {
  readonly format?: ImportFormat
  readonly correct?: boolean
  readonly json?: boolean
}

const importFile = async (
  terminal: Terminal,
  file: string,
  { format, correct = false, json: asJson }: Options,
): Promise<number> => {
  await checkFile(file)
  return withStore(['keys', 'ownHost'], async ({ store, clock, config }) => {
    const report = reportTo(terminal)
    const run = importConsents({
      store,
      clock,
      httpsOnly: config.httpsOnly,
      ...config.ownHost,
      correct,
      ...report,
    })
    const input = file === '-' ? process.stdin : createReadStream(file)
    const counts = await run(readRows(input, format ?? (file === '-' ? undefined : formatByName(file))))
    if (counts.rows === 0) terminal.note('no row was read: the file is empty, or holds nothing but a header')
    if (asJson)
      await terminal.json({
        ...counts,
        problems: report.problems,
        problems_left_off: Math.max(0, counts.bad - report.problems.length),
      })
    else await terminal.line(summary(counts))
    return counts.bad > 0 ? 1 : 0
  })
}

const checkFile = async (file: string): Promise<void> => {
  if (file === '-') return
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => error)
  if (found instanceof Error) {
    const why = found.code === 'ENOENT' ? 'does not exist' : `cannot be read (${found.code ?? found.name})`
    throw new UsageError(`the file ${why}: ${file}`)
  }
  if (found.isDirectory()) throw new UsageError(`this is a folder, not a file: ${file}`)
}

const reportTo = (terminal: Terminal) => {
  const started = Date.now()
  const progress = makeProgress(terminal)
  const problems: Complaint[] = []
  return {
    problems,
    onBad: (complaint: Complaint): void => {
      if (problems.length < MAX_LISTED) problems.push(complaint)
      terminal.note(`line ${complaint.line}: ${complaint.what}`)
    },
    onWarning: ({ line, what }: Complaint): void => terminal.note(`line ${line}: warning: ${what}`),
    onProgress: ({ rows }: ImportCounts): void =>
      progress(() => {
        const perSecond = Math.round((rows * 1000) / (Date.now() - started))
        return `${count(rows, 'row')} so far, ${perSecond.toLocaleString('en')} a second`
      }),
  }
}

const summary = (counts: ImportCounts): string =>
  [
    count(counts.rows, 'row'),
    `${counts.created} created`,
    `${counts.updated} updated`,
    `${counts.repaired} repaired`,
    `${counts.unchanged} unchanged`,
    `${counts.superseded} superseded`,
    `${counts.bad} bad`,
    ...(counts.warnings === 0 ? [] : [count(counts.warnings, 'warning')]),
  ].join(', ')
