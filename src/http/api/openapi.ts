// The OpenAPI 3.1 document, made from the same schemas that check the requests. Loaded when somebody asks for it, since
// it brings libraries that nothing else needs.
import swagger from '@fastify/swagger'
import fastify from 'fastify'
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod'
import type { z } from 'zod'
import type { Document } from './docs-page.ts'
import { API_PATH, PROBLEM_JSON, type ProblemName, problemTypes } from './problems.ts'
import { type ApiRoute, apiTags, headersOf } from './route.ts'
import { problemAnswer } from './schemas.ts'

/** What any route may answer. */
const anywhere: readonly ProblemName[] = [
  // A parameter that it does not know, at least.
  'invalid-request',
  'unauthorized',
  'missing-scope',
  'too-many-requests',
  'internal',
  'temporarily-unavailable',
]

const problemsOf = ({ method, isRepeatable, isConditional, problems = [] }: ApiRoute): readonly ProblemName[] => [
  // Whatever comes as a body is read, and must be JSON, also where the route wants none.
  ...(method === 'GET' ? [] : (['body-too-large', 'unsupported-media-type'] as const)),
  ...problems,
  ...(isConditional === undefined ? [] : (['precondition-failed'] as const)),
  ...(isRepeatable !== true ? [] : (['in-progress', 'idempotency-key-reused'] as const)),
  ...anywhere,
]

const content = (description: string, type: string, schema: z.ZodType) => ({
  description,
  content: { [type]: { schema } },
})

const responsesOf = (route: ApiRoute): Record<number, object> => {
  const responses: Record<number, object> = {}
  for (const [status, { description, schema }] of Object.entries(route.answers))
    responses[Number(status)] = content(description, 'application/json', schema)
  for (const { status } of problemsOf(route).map((name) => problemTypes[name])) {
    const names = problemsOf(route).filter((name) => problemTypes[name].status === status)
    const words = names.map((name) => `${problemTypes[name].title} (\`${name}\`)`).join('. ')
    responses[status] = content(words, PROBLEM_JSON, problemAnswer)
  }
  return responses
}

/** Each schema is there once as it comes in and once as it goes out; what nothing names is left out. */
const withoutUnused = (document: Document): Document => {
  const { schemas } = document.components
  const used = (name: string): boolean => JSON.stringify(document).includes(`"#/components/schemas/${name}"`)
  const kept = Object.fromEntries(Object.entries(schemas).filter(([name]) => used(name)))
  const less = { ...document, components: { ...document.components, schemas: kept } }
  // What only a schema named that is gone is not named any more.
  return Object.keys(kept).length === Object.keys(schemas).length ? less : withoutUnused(less)
}

/** The document of these routes. `publicUrl`: where they are served. */
export const makeOpenapi = async (routes: readonly ApiRoute[], publicUrl: URL): Promise<Document> => {
  const app = fastify({ exposeHeadRoutes: false })
  app.setValidatorCompiler(() => () => true)
  app.setSerializerCompiler(() => () => '')
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Reconsent',
        version: '1',
        description:
          'For the company whose consents these are. Every call needs an API key with the scope of its route: ' +
          '`Authorization: Bearer <key>`. Every answer that is an error is a problem document (RFC 9457).',
        license: { name: 'MIT', identifier: 'MIT' },
      },
      servers: [{ url: publicUrl.origin }],
      tags: Object.entries(apiTags).map(([name, description]) => ({ name, description })),
      components: {
        securitySchemes: {
          apiKey: { type: 'http', scheme: 'bearer', description: 'made by `reconsent keys api create`' },
        },
      },
    } as never,
    transform: createJsonSchemaTransform({}),
    transformObject: createJsonSchemaTransformObject({}),
  })
  await app.register(
    async (scope) => {
      for (const { method, path: url, summary, description, tag, operationId, ...route } of routes) {
        const headers = headersOf(route)
        const body = route.bodyShown ?? route.body
        scope.route({
          method,
          url,
          schema: {
            summary,
            description: `${description === undefined ? '' : `${description}\n\n`}Scope: \`${route.scope}\`.`,
            operationId,
            tags: [tag],
            security: [{ apiKey: [] }],
            ...(route.params === undefined ? {} : { params: route.params }),
            ...(route.query === undefined ? {} : { querystring: route.query }),
            ...(body === undefined ? {} : { body }),
            ...(headers === undefined ? {} : { headers }),
            response: responsesOf({ method, path: url, summary, tag, operationId, ...route }),
          },
          handler: async () => undefined,
        })
      }
    },
    { prefix: API_PATH },
  )
  await app.ready()
  const document = app.swagger() as unknown as Document
  await app.close()
  return withoutUnused(document)
}
