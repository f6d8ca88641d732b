// What the company says about its consents: one (PUT), many (batch), and a user's contact data (PATCH). The values are
// checked as a row of an import is.
import { z } from 'zod'
import type { ContactChanges } from '../../domain/contact-change.ts'
import { type CheckedBody, type FieldProblem, importFields } from '../../import/fields.ts'
import type { ImportRow, RowResult } from '../../store/administration-port.ts'
import { changedAnswer, type Changed } from './changes.ts'
import { conditionOf, type IsExpectedTag, notAsExpected } from './conditions.ts'
import { consentBody, consentRow, contactBody } from './consent-bodies.ts'
import { type Json, orNoSuchConsent } from './consents.ts'
import { once, type OnceDeps } from './once.ts'
import { ApiProblem, type ProblemPart } from './problems.ts'
import { type ApiRoute, BODY_LIMIT, route } from './route.ts'
import { consentId, consentSummary, visible } from './schemas.ts'
import { noSuchSync } from './syncs.ts'
import { invalidRequest, pointerTo } from './validate.ts'

export interface Put extends Pick<RowResult, 'kind' | 'detail'> {
  /** The consent as it is now; undefined if there is none, because the row was refused. */
  readonly consent: Json | undefined
  readonly etag: string | undefined
}

interface Why {
  /** The name of the API key. */
  readonly by: string
}

export interface WriteSteps {
  /** Undefined: the consent is not as expected, and nothing was written. */
  readonly putConsent: (row: ImportRow, why: Why, isExpected: IsExpectedTag) => Promise<Put | undefined>
  /** A result for each row, in their order. Undefined: there is no such open sync, and nothing was written. */
  readonly putConsents: (
    rows: readonly ImportRow[],
    why: Why,
    sync: { readonly id: string; readonly credentialsIds: readonly string[] } | undefined,
  ) => Promise<readonly RowResult[] | undefined>
  /** Finds the consent by our id or by the `credentials_id`; resolves to undefined when there is none. */
  readonly changeContact: (
    id: string,
    changes: ContactChanges,
    why: Why,
    isExpected: IsExpectedTag,
  ) => Promise<Changed | 'not-as-expected' | undefined>
}

type Given = Readonly<Record<string, unknown>>
type BodyCheck = (given: Given) => CheckedBody<ImportRow>

export interface WriteRouteDeps extends OnceDeps<WriteSteps> {
  /** Makes the check of rows as of now. */
  readonly bodyCheck: () => BodyCheck
  readonly checkChanges: (given: Given) => CheckedBody<ContactChanges>
}

const MAX_ROWS = 1000
const MAX_ID = importFields.credentials_id.most

/** The values are checked by the handler. */
const anObject = z.looseObject({})

const partAt =
  (path: readonly (string | number)[]) =>
  ({ field, detail }: FieldProblem): ProblemPart => ({
    pointer: pointerTo(field === undefined ? path : [...path, field]),
    detail,
  })

const accepted = <Value>({ value, problems }: CheckedBody<Value>): Value => {
  if (problems !== undefined) throw invalidRequest(problems.map(partAt([])))
  return value
}

/** The row of a body whose connection is named by the path. */
const rowOf = (id: string, body: Given, check: BodyCheck): ImportRow => {
  const { credentials_id: named = null } = body
  const { value, problems = [] } = check({ ...body, credentials_id: id })
  const ofOthers = problems.map((problem) =>
    problem.field === 'credentials_id' ? { parameter: 'id', detail: problem.detail } : partAt([])(problem),
  )
  const another = { pointer: '#/credentials_id', detail: 'must be the one of the path, or left out' }
  const parts = [...(named === null || named === id ? [] : [another]), ...ofOthers]
  if (value === undefined || parts.length > 0) throw invalidRequest(parts)
  return value
}

const results = ['created', 'updated', 'repaired', 'unchanged'] as const satisfies readonly RowResult['kind'][]
const RESULT =
  'created; updated; repaired: the date is later than ours, so the consent was renewed elsewhere and its cycle is ' +
  'over; unchanged'
const warningList = z.array(z.string()).describe('what was left out of it, and why')

const putAnswer = z
  .looseObject({ result: z.enum(results).describe(RESULT), warnings: warningList, consent: consentSummary })
  .meta({ id: 'Put', description: 'a consent that is as you said' })

const rowAnswer = z
  .looseObject({
    credentials_id: z.string().nullable().describe('of the row; null where the row is not valid'),
    result: z.enum([...results, 'refused']).describe(`${RESULT}; refused: nothing of this row was written`),
    warnings: warningList,
    errors: z
      .array(z.looseObject({ pointer: z.string(), detail: z.string() }))
      .describe('why it was refused, each with a JSON pointer into the body'),
  })
  .meta({ id: 'RowResult', description: 'what became of one row' })

const batchAnswer = z.looseObject({
  counts: z.looseObject(Object.fromEntries([...results, 'refused'].map((kind) => [kind, z.int().min(0)]))),
  results: z.array(rowAnswer).describe('one for each row, in their order'),
})

type RowAnswer = z.output<typeof rowAnswer>

const warningsOf = ({ detail }: Pick<RowResult, 'detail'>): string[] => (detail === undefined ? [] : [detail])

/** What is wrong with each row, or the row; what is no object has no fields. */
const checkRows = (rows: readonly unknown[], check: BodyCheck): CheckedBody<ImportRow>[] =>
  rows.map((given) =>
    typeof given === 'object' && given !== null && !Array.isArray(given)
      ? check(given as Given)
      : { problems: [{ field: undefined, detail: 'must be an object' }] },
  )

const syncId = visible(100).optional().describe('the id of an open sync: these rows are part of your whole list')

/** Of all rows: one that is not valid is no sign that its connection is gone. */
const namedIn = (rows: readonly unknown[]): string[] =>
  rows.flatMap((row) => {
    const { credentials_id: id } = Object(row) as Given
    return typeof id === 'string' && id.length <= MAX_ID && !id.includes('\0') && id.isWellFormed() ? id : []
  })

const refusedRow = (errors: RowAnswer['errors'], credentials_id: string | null): RowAnswer => ({
  credentials_id,
  result: 'refused',
  warnings: [],
  errors,
})

const answerRows = (rows: readonly CheckedBody<ImportRow>[], written: readonly RowResult[]): RowAnswer[] => {
  const left = [...written]
  return rows.map(({ value, problems }, place): RowAnswer => {
    const path = ['rows', place]
    if (value === undefined)
      return refusedRow(
        problems.map((problem) => ({ pointer: pointerTo(path), ...partAt(path)(problem) })),
        null,
      )
    const { credentialsId: credentials_id } = value
    const result = left.shift()
    if (result === undefined) throw new Error('a row without a result')
    return result.kind === 'refused'
      ? refusedRow([{ pointer: pointerTo(path), detail: result.detail ?? 'refused' }], credentials_id)
      : { credentials_id, result: result.kind, warnings: warningsOf(result), errors: [] }
  })
}

const countsOf = (rows: readonly RowAnswer[]): Record<RowAnswer['result'], number> => {
  const counts = { created: 0, updated: 0, repaired: 0, unchanged: 0, refused: 0 }
  for (const { result } of rows) counts[result] += 1
  return counts
}

export const writeRoutes = (deps: WriteRouteDeps): readonly ApiRoute[] => [
  route({
    method: 'PUT',
    path: '/consents/:id',
    scope: 'consents:write',
    operationId: 'putConsent',
    tag: 'consents',
    summary: 'Say what you know about a connection: creates the consent, or changes it',
    description:
      'The path holds the `credentials_id`. The same as a row of an import: what is left out or null stays as it is, ' +
      'only a later date moves the expiry, and a refresh token that differs is kept beside the present one until the ' +
      'provider has accepted one of the two. The same body a second time changes nothing.',
    params: consentId,
    body: anObject,
    bodyShown: consentBody,
    isConditional: true,
    answers: {
      200: { description: 'the consent as it is now', schema: putAnswer },
      201: { description: 'the consent was created', schema: putAnswer },
    },
    problems: ['refused'],
    handle: async ({ params: { id }, body, caller, request }) => {
      const row = rowOf(id, body, deps.bodyCheck())
      const put = await deps.steps.putConsent(row, { by: caller.name }, conditionOf(request))
      if (put === undefined) throw notAsExpected()
      const { kind: result, consent, etag } = put
      if (result === 'refused' || consent === undefined || etag === undefined)
        throw new ApiProblem('refused', put.detail ?? 'the consent does not take this')
      return {
        status: result === 'created' ? 201 : 200,
        body: { result, warnings: warningsOf(put), consent },
        headers: { etag },
      }
    },
  }),
  route({
    method: 'POST',
    path: '/consents::batch',
    scope: 'consents:write',
    operationId: 'putConsents',
    tag: 'consents',
    summary: 'The same for up to 1,000 connections, with an answer for each',
    description:
      'Each row is written or refused by itself; a row that is not valid does not keep the others. The rows are ' +
      'taken in their order: the second of two about one connection finds what the first has written. The answer is ' +
      '200 whatever became of the rows.',
    body: z.strictObject({ rows: z.array(z.unknown()).min(1).max(MAX_ROWS), sync: syncId }),
    bodyShown: z.strictObject({ rows: z.array(consentRow).min(1).max(MAX_ROWS), sync: syncId }),
    bodyLimit: MAX_ROWS * BODY_LIMIT,
    answers: { 200: { description: 'what became of each row', schema: batchAnswer } },
    isRepeatable: true,
    problems: ['not-found'],
    handle: async ({ body: { rows, sync }, caller, request }) =>
      once(deps, { request, caller }, async ({ putConsents }) => {
        const checked = checkRows(rows, deps.bodyCheck())
        const good = checked.flatMap(({ value }) => value ?? [])
        const named = sync === undefined ? undefined : { id: sync, credentialsIds: namedIn(rows) }
        const written = await putConsents(good, { by: caller.name }, named)
        if (written === undefined) throw noSuchSync()
        const answers = answerRows(checked, written)
        return { status: 200, body: { counts: countsOf(answers), results: answers } }
      }),
  }),
  route({
    method: 'PATCH',
    path: '/consents/:id',
    scope: 'consents:write',
    operationId: 'changeContact',
    tag: 'consents',
    summary: "Change a user's contact data, language and zone",
    description:
      'What is left out stays as it is, null clears it. Messages that were not sent yet go to the new address. The ' +
      'event names the fields and no values.',
    params: consentId,
    body: anObject,
    bodyShown: contactBody,
    isConditional: true,
    answers: { 200: { description: 'the consent as it is now', schema: changedAnswer } },
    problems: ['not-found', 'refused'],
    handle: async ({ params: { id }, body, caller, request }) => {
      const changes = accepted(deps.checkChanges(body))
      const answered = orNoSuchConsent(
        await deps.steps.changeContact(id, changes, { by: caller.name }, conditionOf(request)),
      )
      if (answered === 'not-as-expected') throw notAsExpected()
      const { kind: result, detail, consent, etag } = answered
      if (result === 'refused') throw new ApiProblem('refused', detail)
      return { status: 200, body: { result, detail, consent }, headers: { etag } }
    },
  }),
]
