// The metrics of a process: they are counted, have few labels, and leave out what the database cannot tell.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeMetrics } from '../src/metrics.ts'
import { aCount } from './builders.ts'

const ours = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('reconsent_'))

test('counts what is reported to it', async () => {
  const metrics = makeMetrics({ collectCounts: async () => aCount() })
  metrics.recordJob({ queue: 'reauth', result: 'done', seconds: 0.2 })
  metrics.recordProviderCall('reauthuri', 'link')
  metrics.recordMessage('sent')
  metrics.recordRenewal('later-than-known')
  metrics.recordCallback('accepted')
  metrics.recordAlert('provider-circuit-open')
  const lines = ours(await metrics.registry.metrics())
  for (const line of [
    'reconsent_jobs_total{queue="reauth",result="done"} 1',
    'reconsent_job_duration_seconds_bucket{le="0.5",queue="reauth"} 1',
    'reconsent_provider_calls_total{endpoint="reauthuri",answer="link"} 1',
    'reconsent_messages_total{result="sent"} 1',
    'reconsent_messages_total{result="unavailable"} 0',
    'reconsent_renewals_total{basis="later-than-known"} 1',
    'reconsent_callbacks_total{answer="accepted"} 1',
    'reconsent_callbacks_total{answer="failed"} 0',
    'reconsent_alerts_total{name="provider-circuit-open"} 1',
    'reconsent_alerts_total{name="sweep-late"} 0',
    'reconsent_alerts_total{name="message-unavailable"} 0',
    'reconsent_consents{status="active"} 2',
    'reconsent_consents{status="lapsed"} 0',
    'reconsent_counts_readable 1',
  ]) {
    expect(lines).toContain(line)
  }
})

test('counts unknown words as other, so that labels stay few', async () => {
  const metrics = makeMetrics({ collectCounts: async () => aCount({ consents: { planted: 1 } as never }) })
  metrics.recordRenewal('planted' as never)
  metrics.recordHttp({ method: 'PLANTED', route: 'none', status: 404, seconds: 0 })
  metrics.recordAlert('planted' as never)
  const text = await metrics.registry.metrics()
  expect(text).not.toMatch(/planted/i)
  expect(text).toContain('reconsent_renewals_total{basis="other"} 1')
})

test('each is recorded by the program', () => {
  const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter(
    (name) => name.endsWith('.ts') && name !== 'metrics.ts' && !name.startsWith('generated'),
  )
  const sources = files.map((name) => readFileSync(join('src', name), 'utf8')).join('\n')
  const { registry: _, ...recorders } = makeMetrics({ collectCounts: async () => aCount() })
  expect(Object.keys(recorders).filter((name) => !sources.includes(`etrics.${name}`))).toEqual([])
})

test('queries the database once for scrapes that come together or soon after', async () => {
  let asked = 0
  const metrics = makeMetrics({
    collectCounts: async () => {
      asked += 1
      return aCount()
    },
  })
  await Promise.all([metrics.registry.metrics(), metrics.registry.metrics()])
  await metrics.registry.metrics()
  expect(asked).toBe(1)
})

test('leaves out what it cannot know', async () => {
  const never = ours(
    await makeMetrics({ collectCounts: async () => aCount({ sweepAgeSeconds: undefined }) }).registry.metrics(),
  )
  expect(never.filter((line) => line.startsWith('reconsent_sweep_age_seconds'))).toEqual([])
  const away = ours(
    await makeMetrics({ collectCounts: async () => Promise.reject(new Error('away')) }).registry.metrics(),
  )
  expect(away).toContain('reconsent_counts_readable 0')
  expect(away.filter((line) => line.startsWith('reconsent_consents{'))).toEqual([])
})

test('shows how long ago the last successful sweep was, what is overdue and what needs an operator', async () => {
  const metrics = makeMetrics({
    collectCounts: async () =>
      aCount({
        overdueSeconds: { ...aCount().overdueSeconds, consent: 12 },
        attention: { ...aCount().attention, 'without-channel': 4 },
        feedLagSeconds: 7,
      }),
  })
  const lines = ours(await metrics.registry.metrics())
  const age = Number(lines.find((line) => line.startsWith('reconsent_sweep_age_seconds'))?.split(' ')[1])
  expect(age).toBeGreaterThanOrEqual(30)
  expect(age).toBeLessThan(35)
  expect(lines).toContain('reconsent_overdue_seconds{kind="consent"} 12')
  expect(lines).toContain('reconsent_attention{reason="without-channel"} 4')
  expect(lines).toContain('reconsent_feed_lag_seconds{feed="events"} 7')
})
