// `GET /` with a query: the full authentication URL, which makes a new connection. It leads to the bank, or to a list
// of banks.
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { pageAnswer, redirectAnswer } from './answer.ts'
import type { Answer } from './answer.ts'
import type { Bank } from './banks.ts'
import { html, page } from './html.ts'
import type { World } from './world.ts'

const requestSchema = z
  .object({
    response_type: z.literal('code'),
    client_id: z.string(),
    redirect_uri: z.string(),
    scope: z.string().regex(/\S/),
    providers: z.string().regex(/\S/),
    provider_id: z.string().optional(),
    state: z.string().optional(),
    code_challenge: z
      .string()
      .regex(/^[A-Za-z0-9_-]{43}$/)
      .optional(),
    code_challenge_method: z.literal('S256').optional(),
    response_mode: z.literal(['form_post', 'query']).optional(),
  })
  .refine((request) => (request.code_challenge === undefined) === (request.code_challenge_method === undefined), {
    path: ['code_challenge_method'],
    error: 'code_challenge and code_challenge_method come together',
  })

const wrong = (status: number, explanation: string, detail: string): Answer =>
  pageAnswer(
    status,
    page({
      title: 'This link does not work',
      place: 'TrueLayer simulator',
      main: html`<p>${explanation}</p><p>Nothing was shared. Ask the company that sent you here for a new link.</p>`,
    }),
    { what: 'full-link', outcome: 'refused', detail },
  )

const picker = (query: string, banks: readonly Bank[]): Answer =>
  pageAnswer(
    200,
    page({
      title: 'Choose your bank',
      place: 'TrueLayer simulator',
      main: html`<ul>
${banks.map(
  (bank) => html`<li><a href="/?${query}&provider_id=${bank.providerId}">${bank.displayName}</a> (${bank.country})</li>
`,
)}
</ul>`,
    }),
    { what: 'full-link', outcome: 'picker' },
  )

export interface FullLinks {
  /** `query` is the parsed query, `rawQuery` the unparsed one. */
  answer(query: unknown, rawQuery: string): Answer
}

export const makeFullLinks = ({ client, banks, links, switches }: World): FullLinks => {
  // Full authentication URLs work once. Their hashes are stored, not the URLs, because a URL contains a state.
  const used = new Set<string>()
  const answer = (query: unknown, rawQuery: string): Answer => {
    const parsed = requestSchema.safeParse(query)
    if (!parsed.success) {
      const field = String(parsed.error.issues[0]?.path.join('.') || 'query')
      return wrong(400, `The parameter "${field}" is missing, repeated or wrong.`, field)
    }
    const request = parsed.data
    if (request.client_id !== client.id) return wrong(400, 'The client_id is unknown.', 'client_id')
    if (!client.redirectUris.includes(request.redirect_uri))
      return wrong(400, 'The redirect_uri is not registered.', 'redirect_uri')
    const covered = banks.coveredBy(request.providers)
    if (request.provider_id === undefined) {
      return covered.length > 0
        ? picker(rawQuery, covered)
        : wrong(400, 'The parameter "providers" names no known bank.', 'providers')
    }
    const bank = covered.find((one) => one.providerId === request.provider_id)
    if (bank === undefined)
      return wrong(400, 'The provider_id is unknown or not covered by "providers".', 'provider_id')

    const hash = createHash('sha256').update(rawQuery).digest('base64url')
    if (used.has(hash) && switches.get('link_use') !== 'unlimited')
      return wrong(410, 'This link was already used.', 'used')
    used.add(hash)
    const link = links.make({
      credentialsId: undefined,
      bank,
      scopes: request.scope.split(/\s+/).filter((scope) => scope !== ''),
      redirectUri: request.redirect_uri,
      state: request.state,
      codeChallenge: request.code_challenge,
      responseMode: request.response_mode ?? 'query',
    })
    const location = `/bank/${encodeURIComponent(bank.providerId)}/authorise/${link.id}`
    return redirectAnswer(location, { what: 'full-link', outcome: 'ok', link_no: link.no })
  }
  return { answer }
}
