// Links on demand, for companies that show the renewal in their own app. An answer holds a link, so it is never stored.
import { z } from 'zod'
import type { Departure } from '../../processors/visit-start-page.ts'
import type { OpenCycle } from '../../store/administration-port.ts'
import { orNoSuchConsent } from './consents.ts'
import { ApiProblem } from './problems.ts'
import { type ApiRoute, route } from './route.ts'
import { consentId, reasonText } from './schemas.ts'

export interface LinkRouteDeps {
  /** Finds the consent by our id or by the `credentials_id`; resolves to undefined when there is none. */
  readonly openForLink: (
    id: string,
    asked: { readonly open: boolean; readonly reason: string; readonly by: string },
  ) => Promise<OpenCycle | undefined>
  readonly startLinkToken: (renewalId: string) => string
  readonly leaveForBank: (token: string, options: { readonly by?: string }) => Promise<Departure>
  readonly publicUrl: URL
}

/** Seconds, as on the page: the provider is away, or our circuit is open. */
const BUSY_SECONDS = 60

const linkAnswer = z
  .looseObject({
    link: z.string().describe("our start page's address, or the bank's: a secret, for this user alone"),
    direct: z.boolean().describe('whether it leads to the bank itself'),
    cycle: z.int().min(1).describe('for which cycle: a start page is good until that is over'),
    opened: z.boolean().describe('whether this request opened the cycle'),
  })
  .meta({ id: 'Link', description: 'a link for the user of a consent' })

const linkBody = z
  .strictObject({
    direct: z
      .boolean()
      .default(false)
      .describe("a bank link, made now and counted as handed out; else our start page's"),
    open: z.boolean().default(false).describe('open the cycle early where none is open'),
    reason: reasonText.optional().describe("why, for the consent's events"),
  })
  .default({ direct: false, open: false })

const whyNotNow = (departure: Extract<Departure, { kind: 'not-now' }>): string => {
  const why: Record<Exclude<typeof departure.start.kind, 'ready'>, string> = {
    unknown: 'the cycle is gone',
    'being-checked': 'the user has come back from the bank: the outcome comes first',
    'already-renewed': 'it is renewed',
    suspended: 'the consent is paused or quarantined',
    closed: 'the cycle is closed',
  }
  return departure.start.kind === 'ready' ? 'the cycle has changed meanwhile: ask again' : why[departure.start.kind]
}

const bankLink = (departure: Departure): string => {
  switch (departure.kind) {
    case 'to-bank':
      return departure.link.reveal()
    case 'busy':
      throw new ApiProblem(
        'temporarily-unavailable',
        'the provider is not to be reached: repeat the same request later',
        {
          retryAfter: BUSY_SECONDS,
        },
      )
    case 'refused':
      throw new ApiProblem('refused', 'the provider refuses a link for this connection: try again tomorrow')
    case 'not-now':
      throw new ApiProblem('refused', whyNotNow(departure))
  }
}

export const linkRoutes = (deps: LinkRouteDeps): readonly ApiRoute[] => [
  route({
    method: 'POST',
    path: '/consents/:id/link',
    scope: 'links:create',
    operationId: 'makeLink',
    tag: 'consents',
    summary: 'A link that leads the user to the bank',
    description:
      'For companies that show the renewal in their own app. Without `direct` it is the address of our start page, ' +
      'the same as in a mail: good until the cycle is over, and as often as the user likes. With `direct` it is the ' +
      "bank's, made now as the start page's button does, and good for one visit within minutes. Safe to repeat: an " +
      '`Idempotency-Key` is taken and changes nothing, since no answer with a link is stored; a repetition with ' +
      '`direct` gets another link of the same cycle.',
    params: consentId,
    body: linkBody,
    answers: { 200: { description: 'the link', schema: linkAnswer } },
    problems: ['not-found', 'refused', 'no-open-cycle'],
    isRepeatable: 'by-itself',
    handle: async ({ params: { id }, body: { direct, open, reason = 'a link was asked for by the API' }, caller }) => {
      const by = caller.name
      const found = orNoSuchConsent(await deps.openForLink(id, { open, reason, by }))
      if (found.kind === 'refused') throw new ApiProblem('refused', found.detail)
      if (found.kind === 'none')
        throw new ApiProblem('no-open-cycle', 'the renewal window is not open yet: "open": true opens it early')
      const { renewalId, cycle, opened } = found
      const token = deps.startLinkToken(renewalId)
      const link = direct
        ? bankLink(await deps.leaveForBank(token, { by }))
        : new URL(`/r/${token}`, deps.publicUrl).href
      return { status: 200, body: { link, direct, cycle, opened } }
    },
  }),
]
