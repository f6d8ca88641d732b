// `simulator`: the simulated TrueLayer, bank and inbox, alone, for anyone who builds against them.
import { type Call, type Command, json, UsageError, wholeNumber } from './command.ts'
import { table } from './text.ts'
import { untilStopped } from './until-stopped.ts'

type Start = (typeof import('../../simulator/src/start-simulator.ts'))['startSimulator']
type SimulatorOptions = Parameters<Start>[0]
type Simulator = Awaited<ReturnType<Start>>
type FaultOrder = Parameters<Simulator['faults']['add']>[0]

const PORTS = [0, 65_535] as const

export const command: Command = {
  usage: 'simulator [--port N] [--smtp-port N] [--switch NAME=VALUE]… [--fault ENDPOINT:KIND[:NAME=VALUE…]]… [--json]',
  about: `Runs a TrueLayer that can be told how to behave, a bank with a page, and an inbox, on loopback, until
Ctrl-C. Whatever is not documented about TrueLayer is a switch; what can go wrong is a fault. Both can be
changed while it runs, and its clock moved, at /_control, which also lists them. For development and tests
only: it proves nothing about who anybody is.`,
  arguments: [],
  options: {
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
    json,
  },
  examples: [
    'reconsent simulator --port 4000 --smtp-port 4025',
    'reconsent simulator --switch rotate_refresh_tokens=always --fault reauthuri:rate-limited:count=2',
  ],
  run: async (call) => {
    // Only here: its parts are development packages, and production must not load it.
    const { startSimulator } = await import('../../simulator/src/start-simulator.ts')
    const { movableClock, readInstant } = await import('../../simulator/src/clock.ts')
    const { BadInput } = await import('../../simulator/src/bad-input.ts')
    try {
      const time = call.text('time')
      const start = time === undefined ? undefined : readInstant(time)
      if (time !== undefined && start === undefined)
        throw new UsageError('--time must be an instant with an offset, such as 2026-11-23T09:00:00Z')
      const options = optionsOf(call)
      const simulator = await startSimulator({ ...options, clock: movableClock(start) })
      try {
        for (const order of faultsOf(call)) simulator.faults.add(order)
        const stopped = untilStopped()
        await announce(call, options, simulator)
        await stopped
      } finally {
        await simulator.close()
      }
      return 0
    } catch (error) {
      if (error instanceof BadInput) throw new UsageError(error.message)
      throw error
    }
  },
}

const optionsOf = (call: Call): SimulatorOptions => {
  const redirectUris = call.texts('redirect-uri')
  return {
    host: call.text('host'),
    port: wholeNumber(call, 'port', PORTS),
    smtpPort: wholeNumber(call, 'smtp-port', PORTS),
    clientId: call.text('client-id') ?? 'reconsent-simulated',
    clientSecret: call.text('client-secret') ?? 'simulated-secret',
    redirectUris: redirectUris.length === 0 ? ['http://127.0.0.1:3000/callback'] : redirectUris,
    seed: wholeNumber(call, 'seed', [0, 4_294_967_295]),
    // The simulator checks names and values itself, strictly.
    switches: Object.fromEntries(call.texts('switch').map((text) => namedValue('--switch', text))) as NonNullable<
      SimulatorOptions['switches']
    >,
  }
}

const namedValue = (option: string, text: string): [string, unknown] => {
  const equals = text.indexOf('=')
  if (equals < 1) throw new UsageError(`${option} needs NAME=VALUE`)
  return [text.slice(0, equals), valueOf(text.slice(equals + 1))]
}

/** `true`, `30` and `null` are what they look like; everything else is text. */
const valueOf = (text: string): unknown => {
  if (text === 'true' || text === 'false') return text === 'true'
  if (text === 'null') return null
  return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text
}

const faultsOf = (call: Call): FaultOrder[] =>
  call.texts('fault').map((text) => {
    const [endpoint, kind, ...settings] = text.split(':')
    if (endpoint === undefined || kind === undefined)
      throw new UsageError('--fault needs ENDPOINT:KIND, for example exchange:error-html')
    const read = Object.fromEntries(settings.map((setting) => namedValue('--fault', setting)))
    return { endpoint, kind, ...read } as unknown as FaultOrder
  })

const announce = async (call: Call, options: SimulatorOptions, simulator: Simulator): Promise<void> => {
  const { url, smtpUrl } = simulator
  if (call.flag('json')) {
    await call.terminal.json({
      url,
      smtp_url: smtpUrl,
      client_id: options.clientId,
      client_secret: options.clientSecret,
      inbox: `${url}/inbox`,
      control: `${url}/_control`,
    })
    return
  }
  await call.terminal.line(
    `${table([
      ['TrueLayer, auth and data', url],
      ['Inbox', `${url}/inbox`],
      ['Control', `${url}/_control`],
      ['Mail server', smtpUrl],
      ['Clock', simulator.clock.now().toISO() ?? ''],
    ])}

Point Reconsent at it:
  ${[
    `TRUELAYER_AUTH_URL=${url} TRUELAYER_API_URL=${url} TRUELAYER_CLIENT_ID=${options.clientId}`,
    `TRUELAYER_CLIENT_SECRET=${options.clientSecret} SMTP_URL=${smtpUrl}`,
  ].join(' ')}

Ctrl-C ends it.`,
  )
}
