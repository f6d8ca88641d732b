// The simulator as a command: its options, their meaning, and its output. The caller parses the command line and names
// the program.
import { BadInput } from './bad-input.ts'
import { movableClock, readInstant } from './clock.ts'
import { columns } from './columns.ts'
import type { FaultOrder } from './faults.ts'
import { type Simulator, type SimulatorOptions, startSimulator } from './start-simulator.ts'
import { untilStopped } from './until-stopped.ts'

export interface Option {
  readonly type: 'string' | 'boolean'
  /** The placeholder for the option's value in the help: `TEXT`. */
  readonly value?: string
  readonly multiple?: boolean
  readonly help: string
}

/** The options given on the command line. */
export interface Given {
  text(option: string): string | undefined
  texts(option: string): readonly string[]
  flag(option: string): boolean
}

export interface Output {
  line(text: string): Promise<void>
  json(value: unknown): Promise<void>
}

const PORTS = [0, 65_535] as const

/** The part of the usage line after the program's name. */
export const usage = '[--port N] [--smtp-port N] [--switch NAME=VALUE]… [--fault ENDPOINT:KIND[:NAME=VALUE…]]… [--json]'

export const about = `Runs a TrueLayer that can be told how to behave, a bank with a page, and an inbox, on loopback,
until Ctrl-C. Whatever is not documented about TrueLayer is a switch; what can go wrong is a fault.
Both can be changed while it runs, and its clock moved, at /_control, which also lists them. For
development and tests only: it proves nothing about who anybody is.`

export const options: Readonly<Record<string, Option>> = {
  port: { type: 'string', value: 'N', help: 'of its HTTP server (default: any free one)' },
  'smtp-port': { type: 'string', value: 'N', help: 'of its mail server (default: any free one)' },
  host: { type: 'string', value: 'HOST', help: 'address to listen on (default: 127.0.0.1)' },
  'client-id': { type: 'string', value: 'ID', help: 'the one client it knows (default: reconsent-simulated)' },
  'client-secret': { type: 'string', value: 'TEXT', help: 'its secret (default: simulated-secret)' },
  'redirect-uri': {
    type: 'string',
    value: 'URL',
    multiple: true,
    help: 'allow-listed for the client (default: http://127.0.0.1:3000/callback)',
  },
  switch: { type: 'string', value: 'NAME=VALUE', multiple: true, help: 'set a switch' },
  fault: {
    type: 'string',
    value: 'FAULT',
    multiple: true,
    help: 'add a fault, for example exchange:error-html:rate=0.2',
  },
  time: { type: 'string', value: 'INSTANT', help: 'start its clock at this time (2026-11-23T09:00:00Z)' },
  seed: { type: 'string', value: 'N', help: 'of the random numbers of faults with a rate (default: 1)' },
  json: { type: 'boolean', help: 'print JSON on standard output' },
}

export const examples: readonly string[] = [
  '--port 4000 --smtp-port 4025',
  '--switch rotate_refresh_tokens=always --fault reauthuri:rate-limited:count=2',
]

/** Runs the simulator until a signal stops it; resolves to the exit code. Throws BadInput on invalid options. */
export const run = async (given: Given, output: Output): Promise<number> => {
  const time = given.text('time')
  const start = time === undefined ? undefined : readInstant(time)
  if (time !== undefined && start === undefined)
    throw new BadInput(['--time must be an instant with an offset, such as 2026-11-23T09:00:00Z'])
  const chosen = optionsOf(given)
  const simulator = await startSimulator({ ...chosen, clock: movableClock(start) })
  try {
    for (const order of faultsOf(given)) simulator.faults.add(order)
    const stopped = untilStopped()
    await announce(given, output, chosen, simulator)
    await stopped
  } finally {
    await simulator.close()
  }
  return 0
}

const optionsOf = (given: Given): SimulatorOptions => {
  const redirectUris = given.texts('redirect-uri')
  return {
    host: given.text('host'),
    port: wholeNumber(given, 'port', PORTS),
    smtpPort: wholeNumber(given, 'smtp-port', PORTS),
    clientId: given.text('client-id') ?? 'reconsent-simulated',
    clientSecret: given.text('client-secret') ?? 'simulated-secret',
    redirectUris: redirectUris.length === 0 ? ['http://127.0.0.1:3000/callback'] : redirectUris,
    seed: wholeNumber(given, 'seed', [0, 4_294_967_295]),
    // The simulator itself checks names and values strictly.
    switches: Object.fromEntries(given.texts('switch').map((text) => namedValue('--switch', text))) as NonNullable<
      SimulatorOptions['switches']
    >,
  }
}

/** Reads an option as a number. Throws BadInput when it is not a whole number within the bounds. */
const wholeNumber = (given: Given, option: string, [least, most]: readonly [number, number]): number | undefined => {
  const text = given.text(option)
  if (text === undefined) return undefined
  const value = Number(text)
  if (/^\d{1,12}$/.test(text) && value >= least && value <= most) return value
  throw new BadInput([`--${option} must be a whole number from ${least} to ${most}`])
}

const namedValue = (option: string, text: string): [string, unknown] => {
  const equals = text.indexOf('=')
  if (equals < 1) throw new BadInput([`${option} needs NAME=VALUE`])
  return [text.slice(0, equals), valueOf(text.slice(equals + 1))]
}

/** Reads `true`, `30` and `null` as JSON values; everything else is text. */
const valueOf = (text: string): unknown => {
  if (text === 'true' || text === 'false') return text === 'true'
  if (text === 'null') return null
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text
}

const faultsOf = (given: Given): FaultOrder[] =>
  given.texts('fault').map((text) => {
    const [endpoint, kind, ...settings] = text.split(':')
    if (endpoint === undefined || kind === undefined)
      throw new BadInput(['--fault needs ENDPOINT:KIND, for example exchange:error-html'])
    const read = Object.fromEntries(settings.map((setting) => namedValue('--fault', setting)))
    return { endpoint, kind, ...read } as unknown as FaultOrder
  })

const announce = async (
  given: Given,
  output: Output,
  chosen: SimulatorOptions,
  simulator: Simulator,
): Promise<void> => {
  const { url, smtpUrl } = simulator
  if (given.flag('json')) {
    await output.json({
      url,
      smtp_url: smtpUrl,
      client_id: chosen.clientId,
      client_secret: chosen.clientSecret,
      inbox: `${url}/inbox`,
      control: `${url}/_control`,
    })
    return
  }
  await output.line(
    `${columns([
      ['TrueLayer, auth and data', url],
      ['Inbox', `${url}/inbox`],
      ['Control', `${url}/_control`],
      ['Mail server', smtpUrl],
      ['Clock', simulator.clock.now().toISO() ?? ''],
    ])}

Point a client at it, such as Reconsent:
  ${[
    `TRUELAYER_AUTH_URL=${url} TRUELAYER_API_URL=${url} TRUELAYER_CLIENT_ID=${chosen.clientId}`,
    `TRUELAYER_CLIENT_SECRET=${chosen.clientSecret} SMTP_URL=${smtpUrl}`,
  ].join(' ')}

Ctrl-C ends it.`,
  )
}
