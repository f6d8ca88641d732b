import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { commandNames } from '../../src/commands/catalogue.ts'
import { variables, type VariableName } from '../../src/config/variables.ts'
import { type Metrics, makeMetrics } from '../../src/metrics.ts'

interface Service {
  readonly image: string
  readonly command?: readonly string[]
  readonly environment?: Readonly<Record<string, string>>
  readonly secrets?: readonly string[]
  readonly [key: string]: unknown
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>
  readonly secrets: Readonly<Record<string, { readonly file: string }>>
  readonly volumes: Readonly<Record<string, unknown>>
  readonly networks: Readonly<Record<string, unknown>>
}

const compose = parse(readFileSync('deploy/compose.yaml', 'utf8'), { merge: true }) as Compose
const ours = Object.entries(compose.services).filter(([, { image }]) => image.startsWith('reconsent:'))
const secretOf = (path: string): string => path.replace('/run/secrets/', '')

describe('deploy/compose.yaml', () => {
  it('runs every role, the migrations, PostgreSQL 17 and Redis', () => {
    expect(Object.keys(compose.services).sort()).toEqual(['migrate', 'postgres', 'redis', 'scheduler', 'web', 'worker'])
    const roles = ours.flatMap(([, { command }]) => (command?.[1] === '--roles' ? [command[2]] : []))
    expect(roles.sort()).toEqual(['scheduler', 'web', 'worker'])
    expect(compose.services['postgres']?.image).toMatch(/^postgres:17/)
  })

  it.each(ours)('%s calls a command that exists', (_name, { command }) => {
    expect(commandNames).toContain(command?.[0])
  })

  it.each(ours)(
    '%s sets variables that exist, and secrets as files that are mounted',
    (_name, { environment = {}, secrets = [] }) => {
      for (const [name, value] of Object.entries(environment)) {
        const isFile = name.endsWith('_FILE')
        const variable = isFile ? name.slice(0, -'_FILE'.length) : name
        expect(Object.keys(variables)).toContain(variable)
        expect(variables[variable as VariableName].secret, `${name}: secrets as files, nothing else`).toBe(isFile)
        if (isFile) expect(secrets).toContain(secretOf(value))
      }
      expect(
        Object.values(environment)
          .filter((value) => value.startsWith('/run/secrets/'))
          .map(secretOf)
          .sort(),
      ).toEqual([...secrets].sort())
    },
  )

  it.each(ours)('%s runs hardened, with time to stop', (_name, service) => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
      stop_grace_period: '30s',
    })
  })

  it('declares every secret, volume and network it uses, and uses all it declares', () => {
    const services = Object.values(compose.services)
    const used = (key: string): string[] => [
      ...new Set(services.flatMap((service) => (service[key] ?? []) as string[])),
    ]
    expect(used('secrets').sort()).toEqual(Object.keys(compose.secrets).sort())
    expect(used('networks').sort()).toEqual(Object.keys(compose.networks).sort())
    const named = used('volumes')
      .filter((volume) => !/^[./]/.test(volume))
      .map((volume) => volume.split(':')[0])
    expect(named.sort()).toEqual(Object.keys(compose.volumes).sort())
  })

  it('keeps what Redis holds, on a Redis that BullMQ can use', () => {
    const redis = compose.services['redis']
    expect(redis?.command?.join(' ')).toMatch(/--appendonly yes.*--maxmemory-policy noeviction/)
    const [major = 0, minor = 0] = redis?.image.split(':')[1]?.split('.').map(Number) ?? []
    expect(major > 7 || (major === 7 && minor >= 2)).toBe(true)
  })

  it('is explained: every secret has a line in deploy/README.md', () => {
    const readme = readFileSync('deploy/README.md', 'utf8')
    for (const secret of Object.keys(compose.secrets)) expect(readme).toContain(secret)
  })
})

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: { readonly severity: string }
  readonly annotations: { readonly summary: string; readonly runbook: string }
}

describe('deploy/alerts.yaml', () => {
  const { groups } = parse(readFileSync('deploy/alerts.yaml', 'utf8')) as {
    groups: readonly { rules: readonly Rule[] }[]
  }
  const rules = groups.flatMap((group) => group.rules)
  const metrics: Metrics = makeMetrics({ collectCounts: async () => Promise.reject(new Error('not asked')) })
  const known = metrics.registry.getMetricsAsArray().map(({ name }) => name)
  const anchors = [...readFileSync('docs/runbook.md', 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^a-z0-9 -]/g, '')
      .trim()
      .replaceAll(' ', '-'),
  )

  it.each(rules.map((rule) => [rule.alert, rule] as const))(
    '%s asks for metrics that exist and names its page of the runbook',
    (_name, rule) => {
      const asked = [...rule.expr.matchAll(/reconsent_[a-z_]+/g)].map(([name]) => name)
      for (const name of asked) expect(known).toContain(name)
      const [file, anchor = ''] = rule.annotations.runbook.split('#')
      expect(file).toBe('docs/runbook.md')
      expect(anchors).toContain(anchor)
      expect(['page', 'ticket', 'info']).toContain(rule.labels.severity)
    },
  )

  it('has a rule for each alert of the log', () => {
    const expressions = rules.map(({ expr }) => expr).join('\n')
    for (const name of ['sweep-late', 'provider-circuit-open', 'messages-per-hour', 'message-unavailable'])
      expect(expressions).toContain(`name="${name}"`)
  })
})
