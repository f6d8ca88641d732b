// `/_control`: reads and sets everything at run time. Input is read strictly; a wrong name gets 400 with the known
// names.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { DateTime } from 'luxon'
import { z } from 'zod'
import { HTML_TYPE } from './answer.ts'
import { BadInput, durationInput, instantInput, readInput } from './bad-input.ts'
import { decisions } from './bank.ts'
import type { Connection, Seed } from './connections.ts'
import { controlPage } from './control-page.ts'
import { faultKinds, kindNames } from './fault-kinds.ts'
import type { FaultOrder } from './faults.ts'
import { effects, endpoints } from './ledger.ts'
import type { EntryFilter } from './ledger.ts'
import type { MailFilter } from './mail-store.ts'
import { playAtBank } from './play.ts'
import { changeOwn, ownSwitchNames, switchHelp, switchNames } from './switches.ts'
import type { OwnSwitchChanges, SwitchValues } from './switches.ts'
import type { World } from './world.ts'

const clockSchema = z.strictObject({ set: instantInput.optional(), advance: durationInput.optional() })
const seedSchema = z.strictObject({
  credentials_id: z.string().min(1).optional(),
  provider_id: z.string().min(1),
  provider_name: z.string().min(1).optional(),
  country: z.string().regex(/^[A-Za-z]{2}$/, 'expected a country code of two letters'),
  redirect_uri: z.url(),
  refresh_token: z.string().min(1).optional(),
  consented_at: instantInput.optional(),
  expires_at: instantInput.optional(),
  scopes: z.array(z.string().min(1)).optional(),
  switches: z.unknown().optional(),
})
/** The page's form for the switches of one connection: every field is text, and an empty one gives the switch up. */
const switchesForm = z.strictObject({
  credentials_id: z.string(),
  ...(Object.fromEntries(ownSwitchNames.map((name) => [name, z.string().optional()])) as Record<
    (typeof ownSwitchNames)[number],
    z.ZodOptional<z.ZodString>
  >),
})
const wholeNumber = z.coerce.number().int().min(0).optional()
const ledgerQuery = z.strictObject({
  what: z.enum([...endpoints, ...effects]).optional(),
  outcome: z.string().optional(),
  credentials_id: z.string().optional(),
  to: z.string().optional(),
  after: wholeNumber,
  limit: wholeNumber,
})
const mailQuery = z.strictObject({ to: z.string().optional(), after: wholeNumber, limit: wholeNumber })
const playSchema = z.strictObject({ link: z.url(), as: z.enum(decisions) })

const readSeed = (input: unknown): Seed => {
  const row = readInput(seedSchema, input)
  return {
    credentialsId: row.credentials_id,
    providerId: row.provider_id,
    providerName: row.provider_name,
    country: row.country,
    redirectUri: row.redirect_uri,
    refreshToken: row.refresh_token,
    consentedAt: row.consented_at,
    expiresAt: row.expires_at,
    scopes: row.scopes,
    switches: row.switches === undefined ? undefined : changeOwn({}, row.switches),
  }
}

const switchValueOf = (text: string | undefined): string | number | null | undefined =>
  text === '' ? null : text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) : text

/**
 * A connection as a row of an import file, plus its consent's present state. It includes the refresh token, because
 * this is a simulator.
 */
const shown = (connection: Connection): Record<string, unknown> => ({
  credentials_id: connection.credentialsId,
  provider_id: connection.bank.providerId,
  provider_name: connection.bank.displayName,
  country: connection.bank.country,
  redirect_uri: connection.redirectUri,
  refresh_token: connection.refreshToken ?? null,
  scopes: connection.scopes,
  consent_created_at: connection.dates.createdAt.toUTC().toISO(),
  consent_status_updated_at: connection.dates.updatedAt.toUTC().toISO(),
  consent_expires_at: connection.dates.expiresAt.toUTC().toISO(),
  revoked: connection.revoked,
  switches: connection.switches,
})

const wantsPage = (request: FastifyRequest): boolean => request.headers.accept?.includes('text/html') ?? false
const numberOf = (params: unknown): number => Number((params as { id: string }).id)
const textOf = (params: unknown): string => (params as { id: string }).id
const missing = (reply: FastifyReply, what: string): FastifyReply =>
  reply.status(404).send({ error: 'not_found', problems: [`no such ${what}`] })

// Beyond these years, dates lose their plain ISO form, and expiries computed from them overflow.
const withinReach = (target: () => DateTime): DateTime => {
  const problem = new BadInput(['body: the clock goes from the year 1970 to 2999'])
  try {
    const instant = target()
    if (instant.year >= 1970 && instant.year <= 2999) return instant
  } catch {
    throw problem
  }
  throw problem
}

export const mountControl = (app: FastifyInstance, world: World): void => {
  const { clock, switches, faults, connections, ledger, mails, url, smtpUrl } = world
  const time = (): { now: string } => ({ now: clock.now().toISO() })

  app.get('/_control', async (request, reply) => {
    if (wantsPage(request)) return reply.type(HTML_TYPE).send(controlPage(world).html)
    const counts = { connections: connections.all().length, ledger: ledger.count(), mails: mails.received() }
    return { ...time(), url: url(), smtp_url: smtpUrl(), ...counts, switches: switches.all(), faults: faults.list() }
  })

  app.get('/_control/clock', time)
  app.post('/_control/clock', async (request, reply) => {
    const { set, advance } = readInput(clockSchema, request.body)
    if ((set === undefined) === (advance === undefined))
      throw new BadInput(['body: expected either "set" or "advance"'])
    clock.set(withinReach(() => set ?? clock.now().plus(advance ?? {})))
    return wantsPage(request) ? reply.redirect('/_control', 303) : time()
  })

  app.get('/_control/switches', async () => ({
    switches: switches.all(),
    help: Object.fromEntries(switchNames.map((name) => [name, switchHelp(name)])),
  }))
  app.patch('/_control/switches', async (request) => {
    switches.set(request.body as Partial<SwitchValues>)
    return { switches: switches.all() }
  })
  app.delete('/_control/switches', async () => {
    switches.reset()
    return { switches: switches.all() }
  })

  app.get('/_control/faults', async () => ({
    faults: faults.list(),
    endpoints,
    kinds: Object.fromEntries(kindNames.map((kind) => [kind, faultKinds[kind].help])),
  }))
  app.post('/_control/faults', async (request, reply) => reply.status(201).send(faults.add(request.body as FaultOrder)))
  app.delete('/_control/faults', async () => {
    faults.clear()
    return { faults: faults.list() }
  })
  app.delete('/_control/faults/:id', async (request, reply) =>
    faults.remove(numberOf(request.params)) ? { faults: faults.list() } : missing(reply, 'fault'),
  )

  app.get('/_control/connections', async () => ({ connections: connections.all().map(shown) }))
  app.post('/_control/connections', async (request, reply) => {
    const rows = Array.isArray(request.body) ? request.body : [request.body]
    // All rows are read before the first connection is made, so that a typo in the last row leaves nothing half done.
    const made = rows.map(readSeed).map((seed) => shown(connections.seed(seed)))
    return reply.status(201).send(Array.isArray(request.body) ? { connections: made } : made[0])
  })
  app.get('/_control/connections/:id', async (request, reply) => {
    const connection = connections.find(textOf(request.params))
    return connection === undefined ? missing(reply, 'connection') : shown(connection)
  })
  app.patch('/_control/connections/:id/switches', async (request, reply) => {
    const changes = request.body as OwnSwitchChanges
    const connection = connections.setSwitches(textOf(request.params), changes)
    return connection === undefined ? missing(reply, 'connection') : shown(connection)
  })
  // A form of a page can neither PATCH nor put a field's value into its address.
  app.post('/_control/connections/switches', async (request, reply) => {
    const { credentials_id: id, ...fields } = readInput(switchesForm, request.body)
    const changes = Object.fromEntries(Object.entries(fields).map(([name, text]) => [name, switchValueOf(text)]))
    const connection = connections.setSwitches(id.trim(), changes as OwnSwitchChanges)
    return connection === undefined ? missing(reply, 'connection') : reply.redirect('/_control', 303)
  })
  app.post('/_control/connections/:id/revoke', async (request, reply) => {
    const connection = connections.revoke(textOf(request.params), 'control')
    return connection === undefined ? missing(reply, 'connection') : shown(connection)
  })

  app.get('/_control/ledger', async (request) => {
    const filter: EntryFilter = readInput(ledgerQuery, request.query, 'filter')
    return { entries: ledger.entries(filter) }
  })

  app.get('/_control/mails', async (request) => {
    const filter: MailFilter = readInput(mailQuery, request.query, 'filter')
    return { received: mails.received(), mails: mails.list(filter) }
  })
  app.delete('/_control/mails', async () => {
    mails.clear()
    return { received: mails.received(), mails: [] }
  })

  app.post('/_control/play', async (request) => {
    const { link, as } = readInput(playSchema, request.body)
    if (new URL(link).origin !== url()) throw new BadInput([`link: expected an address that starts with ${url()}`])
    return playAtBank(url(), { link, as })
  })
}
