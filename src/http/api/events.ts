// The feed of events.
import { z } from 'zod'
import { CursorUnknown } from '../../errors.ts'
import type { Json } from './consents.ts'
import { ApiProblem } from './problems.ts'
import { type ApiRoute, route } from './route.ts'
import { feedEventAnswer, nextCursor, pageLimit, visible } from './schemas.ts'
import { invalidRequest } from './validate.ts'

/** `cursor`: the event's place in the feed. */
export type EventJson = Json & { readonly cursor: string }

export interface EventRouteDeps {
  /**
   * The events after that cursor, in the order of the feed. Rejects with a RangeError for an invalid cursor, and with
   * CursorUnknown for a cursor from another history of the database.
   */
  readonly listEvents: (after: string | undefined, limit: number) => Promise<readonly EventJson[]>
}

const CURSOR_UNKNOWN =
  'the feed has no event with this cursor: the database was restored from a backup or another server took ' +
  'over, and what you read since is not in it. ' +
  'Go on from an older cursor that you kept, or read again without after; an event that you know has the ' +
  'consent_id and seq it had'

export const eventRoutes = ({ listEvents }: EventRouteDeps): readonly ApiRoute[] => [
  route({
    method: 'GET',
    path: '/events',
    scope: 'events:read',
    operationId: 'listEvents',
    tag: 'events',
    summary: 'What happened, oldest first',
    description:
      'Start without `after`, then pass the `next_cursor` of the last page. ' +
      'An empty page means nothing new: ask again later with the same cursor. ' +
      'Each event has its place about a second after it happened at the latest; those of one consent are in the ' +
      'order of their `seq`. ' +
      'A cursor stands for everything before it: after a restore from a backup, one that the database no longer ' +
      'knows is refused with 409.',
    query: z.strictObject({
      after: visible(200).optional().describe('the next_cursor of an earlier page'),
      limit: pageLimit,
    }),
    answers: {
      200: {
        description: 'a page of events',
        schema: z.looseObject({
          events: z.array(feedEventAnswer),
          next_cursor: nextCursor('null while nothing has happened yet'),
        }),
      },
    },
    problems: ['cursor-unknown'],
    handle: async ({ query: { after, limit } }) => {
      try {
        const events = await listEvents(after, limit)
        return { status: 200, body: { events, next_cursor: events.at(-1)?.cursor ?? after ?? null } }
      } catch (error) {
        if (error instanceof CursorUnknown) throw new ApiProblem('cursor-unknown', CURSOR_UNKNOWN)
        if (!(error instanceof RangeError)) throw error
        throw invalidRequest([{ parameter: 'after', detail: 'must be the next_cursor of an earlier page' }])
      }
    },
  }),
]
