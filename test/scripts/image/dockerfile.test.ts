import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { execForm, readDockerfile, readDockerignore } from '../../../scripts/image/dockerfile.ts'

describe('reading a Dockerfile', () => {
  it('knows comments, continued lines, flags and arguments', () => {
    const source = `# a comment
ARG BASE=node:24
FROM \${BASE} AS one
RUN first && \\
    second
COPY --from=other /app/a ./a
HEALTHCHECK --interval=30s --timeout=5s \\
  CMD ["node", "-e", "1"]
`
    expect(readDockerfile(source)).toEqual([
      { name: 'FROM', flags: {}, text: 'node:24 AS one' },
      { name: 'RUN', flags: {}, text: 'first && second' },
      { name: 'COPY', flags: { from: 'other' }, text: '/app/a ./a' },
      { name: 'HEALTHCHECK', flags: { interval: '30s', timeout: '5s' }, text: 'CMD ["node", "-e", "1"]' },
    ])
  })

  it('refuses a shell form where an exec form is needed', () => {
    expect(() => execForm('node src/cli.ts')).toThrow()
    expect(execForm('["node", "src/cli.ts"]')).toEqual(['node', 'src/cli.ts'])
  })
})

describe('our .dockerignore', () => {
  const isIgnored = readDockerignore(readFileSync('.dockerignore', 'utf8'))

  it.each([
    'src/cli.ts',
    'src/domain/phase.ts',
    'prisma/migrations/x/migration.sql',
    'package.json',
    'worker.config.ts',
  ])('lets %s in', (path) => {
    expect(isIgnored(path)).toBe(false)
  })

  it.each([
    '.git/config',
    '.env',
    'node_modules/pg/index.js',
    'deploy/secrets/database_url',
    'test/builders.ts',
    'simulator/src/bank.ts',
    'simulator/demo/act.ts',
    'simulator/embedded/postgres.ts',
    'src/generated/prisma/client.ts',
  ])('leaves %s out', (path) => {
    expect(isIgnored(path)).toBe(true)
  })
})

describe('our Dockerfile', () => {
  const instructions = readDockerfile(readFileSync('Dockerfile', 'utf8'))
  const last = (name: string) => instructions.findLast((one) => one.name === name)

  it('starts a process without rights that gets signals itself', () => {
    expect(last('USER')?.text).toBe('node')
    expect(execForm(last('ENTRYPOINT')?.text ?? '')[0]).toBe('node')
    expect(execForm(last('CMD')?.text ?? '')).toEqual(['start'])
  })

  it('never lets Prisma take `true` for its engine where something migrates', () => {
    const lines = instructions.filter(({ text }) => text.includes('PRISMA_SCHEMA_ENGINE_BINARY'))
    expect(lines.map(({ name }) => name)).toEqual(['RUN'])
    expect(lines[0]?.text).toMatch(/generate$/)
  })
})
