// If-Match and If-None-Match: a write that is done only while the consent is as the caller knows it.
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { ApiProblem } from './problems.ts'
import { visible } from './schemas.ts'

const MAX_TAGS = 2000

/** The headers of a route that knows them. */
export const conditionHeaders = z.looseObject({
  'if-match': visible(MAX_TAGS).optional().describe('the `ETag` that the consent must have, or *: there must be one'),
  'if-none-match': visible(MAX_TAGS).optional().describe('*: there must be no such consent yet'),
})

/** Whether an entity tag, undefined where there is no consent, is what the caller expects. */
export type IsExpectedTag = (etag: string | undefined) => boolean

const isNamed = (header: string, etag: string | undefined): boolean =>
  etag !== undefined &&
  header
    .split(',')
    .map((tag) => tag.trim())
    .some((tag) => tag === '*' || tag === etag)

/** The condition of the request (RFC 9110, section 13): without one, whatever is there is expected. */
export const conditionOf = ({ headers }: Pick<FastifyRequest, 'headers'>): IsExpectedTag => {
  const { 'if-match': match, 'if-none-match': noneMatch } = headers
  return (etag) =>
    (match === undefined || isNamed(match, etag)) && (noneMatch === undefined || !isNamed(noneMatch, etag))
}

export const notAsExpected = (): ApiProblem =>
  new ApiProblem('precondition-failed', 'the consent is not as If-Match or If-None-Match says: read it again')
