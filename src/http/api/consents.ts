// Reads consents: many, one with its history, its events, why it is as it is, its refresh token.
import type { DateTime } from 'luxon'
import { z } from 'zod'
import { consentTransitions } from '../../domain/lifecycle.ts'
import type { ConsentStatus } from '../../domain/model.ts'
import type { Phase } from '../../domain/phase.ts'
import type { Secret } from '../../secret.ts'
import { readCursor, writeCursor } from './cursor.ts'
import { ApiProblem } from './problems.ts'
import { type ApiRoute, route } from './route.ts'
import {
  consentAnswer,
  consentId,
  consentSummary,
  eventAnswer,
  explanationAnswer,
  instantParameter,
  nextCursor,
  pageLimit,
  reasonText,
  visible,
} from './schemas.ts'

/** JSON that is ready to be sent: snake_case, without secrets. */
export type Json = Readonly<Record<string, unknown>>

export interface ConsentList {
  readonly userId?: string | undefined
  readonly phase?: Phase | undefined
  readonly status?: ConsentStatus | undefined
  readonly providerId?: string | undefined
  readonly expiresBefore?: DateTime | undefined
  readonly changedSince?: DateTime | undefined
}

/** Each finds a consent by our id or by the `credentials_id`, and resolves to undefined when there is none. */
export interface ConsentRouteDeps {
  readonly getConsentJson: (id: string) => Promise<{ readonly json: Json; readonly etag: string } | undefined>
  /** `lastId`: where the next page begins; undefined after the last page. */
  readonly listConsentsJson: (
    wanted: ConsentList,
    page: { readonly afterId: string | undefined; readonly limit: number },
  ) => Promise<{ readonly consents: readonly Json[]; readonly lastId: string | undefined }>
  /** Those after `afterSeq`, in their order. */
  readonly listConsentEventsJson: (
    id: string,
    page: { readonly afterSeq: number; readonly limit: number },
  ) => Promise<readonly (Json & { readonly seq: number })[] | undefined>
  readonly explainJson: (id: string) => Promise<Json | undefined>
  /** Resolves after the event that names the key is committed. */
  readonly showToken: (
    id: string,
    why: { readonly reason: string; readonly by: string },
  ) => Promise<
    | { readonly id: string; readonly credentialsId: string; readonly token: Secret; readonly isCandidate: boolean }
    | undefined
  >
}

const statuses = Object.keys(consentTransitions) as [ConsentStatus, ...ConsentStatus[]]
const phases = ['healthy', 'due', 'in-grace', 'lapsed'] as const satisfies readonly Phase[]

/** The consent, or the problem that there is none. */
export const orNoSuchConsent = <Found>(found: Found | undefined): Found => {
  if (found === undefined) throw new ApiProblem('not-found', 'there is no consent with this id or credentials_id')
  return found
}

export const consentRoutes = (deps: ConsentRouteDeps): readonly ApiRoute[] => [
  route({
    method: 'GET',
    path: '/consents',
    scope: 'consents:read',
    operationId: 'listConsents',
    tag: 'consents',
    summary: 'Consents, page by page',
    description:
      'Those for which every given parameter is so, in no order that means anything. Start without `after`, then ' +
      'pass the `next_cursor` of the last page until it is null; a page may be short and not be the last. A consent ' +
      'that changes meanwhile is told as it is when its page is read.',
    query: z.strictObject({
      user_id: visible(500).optional().describe('of this user of yours'),
      phase: z.enum(phases).optional().describe('by its dates'),
      status: z.enum(statuses).optional().describe('what became of it'),
      provider_id: visible(500).optional().describe('at this bank'),
      expires_before: instantParameter('that end before this instant'),
      changed_since: instantParameter('with an event at this instant or later'),
      after: visible(200).optional().describe('the next_cursor of an earlier page'),
      limit: pageLimit,
    }),
    answers: {
      200: {
        description: 'a page of consents',
        schema: z.looseObject({
          consents: z.array(consentSummary),
          next_cursor: nextCursor('null after the last page'),
        }),
      },
    },
    handle: async ({ query }) => {
      const afterId = query.after === undefined ? undefined : readCursor('consent', query.after)
      const { consents, lastId } = await deps.listConsentsJson(
        {
          userId: query.user_id,
          phase: query.phase,
          status: query.status,
          providerId: query.provider_id,
          expiresBefore: query.expires_before,
          changedSince: query.changed_since,
        },
        { afterId, limit: query.limit },
      )
      return {
        status: 200,
        body: { consents, next_cursor: lastId === undefined ? null : writeCursor('consent', lastId) },
      }
    },
  }),
  route({
    method: 'GET',
    path: '/consents/:id',
    scope: 'consents:read',
    operationId: 'getConsent',
    tag: 'consents',
    summary: 'One consent with its renewals, messages and events',
    description:
      'The `ETag` changes with what you decide about a consent: the data that you sent and its status. What ' +
      'Reconsent notes meanwhile does not change it.',
    params: consentId,
    answers: { 200: { description: 'the consent', schema: consentAnswer } },
    problems: ['not-found'],
    handle: async ({ params: { id } }) => {
      const { json, etag } = orNoSuchConsent(await deps.getConsentJson(id))
      return { status: 200, body: json, headers: { etag } }
    },
  }),
  route({
    method: 'GET',
    path: '/consents/:id/events',
    scope: 'consents:read',
    operationId: 'listConsentEvents',
    tag: 'consents',
    summary: 'What happened to one consent, oldest first',
    description: 'As the feed, for one consent: an empty page means nothing new, ask again later with the same cursor.',
    params: consentId,
    query: z.strictObject({
      after: visible(200).optional().describe('the next_cursor of an earlier page'),
      limit: pageLimit,
    }),
    answers: {
      200: {
        description: 'a page of events',
        schema: z.looseObject({
          events: z.array(eventAnswer),
          next_cursor: nextCursor('null while nothing has happened yet'),
        }),
      },
    },
    problems: ['not-found'],
    handle: async ({ params: { id }, query: { after, limit } }) => {
      const afterSeq = after === undefined ? 0 : Number(readCursor('seq', after))
      const events = orNoSuchConsent(await deps.listConsentEventsJson(id, { afterSeq, limit }))
      const last = events.at(-1)?.seq
      const next_cursor = last === undefined ? (after ?? null) : writeCursor('seq', String(last))
      return { status: 200, body: { events, next_cursor } }
    },
  }),
  route({
    method: 'GET',
    path: '/consents/:id/explain',
    scope: 'consents:read',
    operationId: 'explainConsent',
    tag: 'consents',
    summary: 'Why a consent has its status, and what is next, when and why',
    description: 'What `reconsent explain --json` prints: the same rules as the jobs evaluate. Changes nothing.',
    params: consentId,
    answers: { 200: { description: 'the explanation', schema: explanationAnswer } },
    problems: ['not-found'],
    handle: async ({ params: { id } }) => ({ status: 200, body: orNoSuchConsent(await deps.explainJson(id)) }),
  }),
  route({
    method: 'GET',
    path: '/consents/:id/token',
    scope: 'tokens:read',
    operationId: 'getToken',
    tag: 'consents',
    summary: 'The refresh token that would be tried first',
    description:
      'For systems of yours that refresh by themselves. Each read is an event of the consent (`token.shown`) that ' +
      'names the key, committed before the answer. Where the provider rotates tokens, whoever refreshes makes this ' +
      'one invalid.',
    params: consentId,
    query: z.strictObject({ reason: reasonText.optional().describe("why, for the consent's events") }),
    answers: {
      200: {
        description: 'the token',
        schema: z.looseObject({
          id: z.string().describe('our id of the consent'),
          credentials_id: z.string().describe("the provider's id of the connection"),
          refresh_token: z.string().describe('a secret'),
          candidate: z.boolean().describe('whether an import brought it and the provider has not judged it yet'),
        }),
      },
    },
    problems: ['not-found'],
    // HEAD would write the event and show nothing.
    hasHead: false,
    handle: async ({ params: { id }, query: { reason = 'read by the API' }, caller }) => {
      const shown = orNoSuchConsent(await deps.showToken(id, { reason, by: caller.name }))
      const { credentialsId: credentials_id, token, isCandidate: candidate } = shown
      return { status: 200, body: { id: shown.id, credentials_id, refresh_token: token.reveal(), candidate } }
    },
  }),
]
