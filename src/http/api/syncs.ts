// Whole-list syncs: opened, named by batches (writes.ts), and closed with what was in none of them.
import { z } from 'zod'
import type { SyncClosed } from '../../store/administration-port.ts'
import { once, type OnceDeps } from './once.ts'
import { ApiProblem } from './problems.ts'
import { type ApiRoute, route } from './route.ts'
import { reasonText, visible } from './schemas.ts'

export interface SyncSteps {
  /** Resolves to its id. */
  readonly openSync: () => Promise<string>
  /** Undefined: there is no such sync. */
  readonly closeSync: (
    id: string,
    asked: { readonly pause: boolean; readonly reason: string; readonly by: string },
  ) => Promise<SyncClosed | undefined>
}

export const noSuchSync = (): ApiProblem => new ApiProblem('not-found', 'there is no sync with this id that is open')

const closeBody = z
  .strictObject({
    pause: z.boolean().default(false).describe('pause those that were in no batch, unless they are too many'),
    reason: reasonText.optional().describe('why, for the events of those that are paused'),
  })
  .default({ pause: false })

const closedAnswer = z
  .looseObject({
    active: z.int().min(0).describe('consents that were active, and older than the sync, when it was closed'),
    missing: z.int().min(0).describe('those of them that were in no batch'),
    share: z.number().min(0).describe('of the active ones, per cent'),
    withheld: z
      .boolean()
      .describe('they are more than the policy allows to pause (`sync.pauseAtMost`): none is paused'),
    paused: z.int().min(0).describe('by this request, at most 1,000'),
    more: z.boolean().describe('there are more to be paused: repeat the request, with another Idempotency-Key'),
    consents: z
      .array(z.looseObject({ id: z.string(), credentials_id: z.string(), user_id: z.string() }))
      .describe('those that were in no batch and are still active before this request, at most 1,000'),
  })
  .meta({ id: 'ClosedSync', description: 'what your list did not have' })

export const syncRoutes = (deps: OnceDeps<SyncSteps>): readonly ApiRoute[] => [
  route({
    method: 'POST',
    path: '/syncs',
    scope: 'consents:write',
    operationId: 'openSync',
    tag: 'consents',
    summary: 'Begin to compare your whole list with ours',
    description:
      'Then send the whole list by `POST /v1/consents:batch` with the id as `sync`, and close it. One that is not ' +
      'closed is forgotten after a week.',
    body: z.strictObject({}).default({}),
    answers: {
      201: { description: 'the sync is open', schema: z.looseObject({ id: z.string().describe('for the batches') }) },
    },
    isRepeatable: true,
    handle: async ({ caller, request }) =>
      once(deps, { request, caller }, async ({ openSync }) => ({ status: 201, body: { id: await openSync() } })),
  }),
  route({
    method: 'POST',
    path: '/syncs/:id/close',
    scope: 'consents:write',
    operationId: 'closeSync',
    tag: 'consents',
    summary: 'Say that the list was whole: which active consents were in no batch?',
    description:
      'With `pause` they are paused, unless they are more than the share that the policy allows: then your list is ' +
      'more likely broken than true. A row that was refused counts as named. A sync may be closed again, to pause ' +
      'what a first look has shown, or the next thousand.',
    params: z.strictObject({ id: visible(100).describe('of the sync') }),
    body: closeBody,
    answers: { 200: { description: 'what your list did not have', schema: closedAnswer } },
    problems: ['not-found'],
    isRepeatable: true,
    handle: async ({ params: { id }, body: { pause, reason = 'not in the whole list' }, caller, request }) =>
      once(deps, { request, caller }, async (steps) => {
        const closed = await steps.closeSync(id, { pause, reason, by: caller.name })
        if (closed === undefined) throw new ApiProblem('not-found', 'there is no sync with this id')
        const { active, missing, share, mayPause, paused, left, consents } = closed
        return {
          status: 200,
          body: {
            active,
            missing,
            share,
            withheld: pause && !mayPause,
            paused,
            more: pause && mayPause && left > 0,
            consents: consents.map(({ id: consentId, credentialsId, userId }) => ({
              id: consentId,
              credentials_id: credentialsId,
              user_id: userId,
            })),
          },
        }
      }),
  }),
]
