// Whether an answer of the API is what its route says: every answer that a test gets by this is held against the schema
// from which the OpenAPI document is made.
import { expect } from 'vitest'
import { apiRoutes } from '../../src/http/api/register-api.ts'
import { problemAnswer } from '../../src/http/api/schemas.ts'
import { pathOf } from './routes-of.ts'

/** Only their schemas are looked at. */
const routes = apiRoutes({} as never)

export const expectFits = (method: string, path: string, status: number, body: unknown): void => {
  const [plain = ''] = path.replace(/^\/v1/, '').split('?', 1)
  const isPath = (pattern: string): boolean => new RegExp(`^${pathOf(pattern, '[^/]+')}$`).test(plain)
  const route = routes.find((one) => one.method === method && isPath(one.path))
  const schema = status >= 400 ? problemAnswer : route?.answers[status]?.schema
  expect([method, path, status, schema?.safeParse(body).error?.issues ?? 'fits']).toEqual([
    method,
    path,
    status,
    'fits',
  ])
  if (schema === undefined) throw new Error(`${method} ${path} does not say that it answers ${status}`)
}
