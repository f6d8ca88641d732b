// The OpenAPI document against the router, and against a public linter.
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { startWorld, type World } from '../setup/world.ts'
import { documented, type Route, withRoutes } from './routes-of.ts'
import { startWeb, type Web } from './web.ts'

let world: World
let web: Web
let routes: readonly Route[]
interface Operation {
  description: string
  security: object[]
  parameters?: { name: string }[]
  responses: Record<string, unknown>
}
let document: {
  openapi: string
  paths: Record<string, Record<string, Operation>>
}
beforeAll(async () => {
  world = await startWorld()
  const started = await withRoutes(async () => startWeb(world, { publicUrl: 'https://consents.brightside.test' }))
  web = started.made
  routes = started.routes.filter(({ scope, method }) => scope !== undefined && method !== 'HEAD')
  document = JSON.parse((await web.get('/v1/openapi.json')).body)
})
afterAll(async () => {
  await web.close()
  await world.close()
})

test('it needs no key, and describes exactly the routes that do, each with its scope', () => {
  expect(document.openapi).toBe('3.1.0')
  const described = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { description, security }]) => ({
      route: `${method.toUpperCase()} ${path}`,
      scope: /Scope: `([^`]+)`\.$/.exec(description)?.[1],
      security,
    })),
  )
  const expected = routes.map(({ method, url, scope }) => ({
    route: `${method} ${documented(url)}`,
    scope,
    security: [{ apiKey: [] }],
  }))
  const inOrder = <Named extends { route: string }>(list: Named[]): Named[] =>
    list.toSorted((a, b) => a.route.localeCompare(b.route))
  expect(inOrder(described)).toEqual(inOrder(expected))
})

test('every failure of every route is a problem document', () => {
  for (const methods of Object.values(document.paths))
    for (const { responses } of Object.values(methods))
      for (const [status, response] of Object.entries(responses)) {
        if (Number(status) < 400) continue
        const { content } = response as { content: object }
        expect(content).toEqual({ 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } })
      }
})

test('every route says that a parameter may be unknown, and a body too large or of another type', () => {
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, { responses }] of Object.entries(methods)) {
      const statuses = method === 'get' ? ['400'] : ['400', '413', '415']
      expect([path, method, Object.keys(responses)]).toEqual([path, method, expect.arrayContaining(statuses)])
    }
})

test('every POST knows Idempotency-Key', () => {
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, { parameters = [] }] of Object.entries(methods))
      expect([path, method, parameters.some(({ name }) => name === 'idempotency-key')]).toEqual([
        path,
        method,
        method === 'post',
      ])
})

test('a public linter finds nothing', { timeout: 60_000 }, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'openapi-'))
  onTestFinished(async () => rm(folder, { recursive: true }))
  await writeFile(join(folder, 'openapi.json'), JSON.stringify(document))
  const linter = join(process.cwd(), 'node_modules/@redocly/cli/bin/cli.js')
  const env = { REDOCLY_TELEMETRY: 'off', REDOCLY_SUPPRESS_UPDATE_NOTICE: 'true', HOME: folder, PATH: '' }
  const linted = promisify(execFile)(process.execPath, [linter, 'lint', 'openapi.json', '--max-problems=1000'], {
    cwd: folder,
    env,
  })
  const { stdout, stderr } = await linted.catch((error: { stdout: string; stderr: string }) => error)
  expect(`${stdout}${stderr}`).toContain('Your API description is valid.')
  expect(`${stdout}${stderr}`).not.toMatch(/warning/i)
})

describe('the page for people', () => {
  test('tells every route, and needs nothing but our own stylesheet', async () => {
    const page = await web.get('/v1/docs')
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none';style-src 'self'")
    for (const { url } of routes) expect(page.body).toContain(documented(url))
    expect(page.body).not.toMatch(/<script|<style|style=|\son\w+=/i)
    const outside = [...page.body.matchAll(/(?:src|href)="([^"#][^"]*)"/g)].map(([, target]) => target)
    expect(outside).toEqual(['/v1/docs/style.css', '/v1/openapi.json'])
    expect((await web.get('/v1/docs/style.css')).headers.get('content-type')).toBe('text/css; charset=utf-8')
  })

  test('links to schemas that it has', async () => {
    const { body } = await web.get('/v1/docs')
    const targets = new Set([...body.matchAll(/href="#([^"]+)"/g)].map(([, target]) => target))
    expect(targets.size).toBeGreaterThan(0)
    for (const target of targets) expect(body).toContain(`id="${target}"`)
  })
})
