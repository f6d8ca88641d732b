// The check of the alert rules finds every mistake that would silence an alert. `npm run check -- alerts` itself checks
// our own rules.
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { cleanSeries } from '../../scripts/alerts/world.ts'
import { company, type RuleCase, since } from '../../scripts/alerts/rule-case.ts'
import { findProblems } from '../../scripts/check-alerts.ts'

const ours = readFileSync('deploy/alerts.yaml', 'utf8')

const rule = (expr: string): string => `groups:
  - name: planted
    rules:
      - alert: Planted
        expr: ${expr}
        labels: { severity: page }
        annotations: { summary: 'jobs of {{ $labels.queue }}' }
`
const failed = 'sum by (queue) (increase(reconsent_jobs_total{result="failed"}[10m]))'
const shows = { 'reconsent_jobs_total{queue="notify",result="failed"}': since(5, 3) }
const jobsFail = (looks: RuleCase['looks']): RuleCase => ({
  says: 'planted',
  processes: company({ worker: { shows } }),
  looks,
})
const fires = { alert: 'Planted', queue: 'notify' }

test('a rule that fires when its case says so, and only then', async () => {
  expect(await findProblems(rule(`${failed} >= 3`), [jobsFail({ 4: [], 6: [fires], 30: [] })])).toEqual([])
})

test.each<[string, RuleCase['looks']]>([
  [`${failed} >= 4`, { 6: [fires] }],
  [`${failed} >= 2`, { 6: [fires], 30: [fires] }],
  [`${failed} >= 3`, { 6: ['Planted'] }],
])('a rule that does not fire when its case says so: %s', async (expr, looks) => {
  expect((await findProblems(rule(expr), [jobsFail(looks)])).join()).toContain('FAILED')
})

test('an alert without a case, and a case of an alert that no longer exists', async () => {
  const problems = await findProblems(rule(`${failed} >= 3`), [jobsFail({ 6: ['Gone'] })])
  expect(problems).toEqual([
    'Planted fires in no case: add one to scripts/alerts/cases.ts',
    'scripts/alerts/cases.ts names Gone, which is no alert',
  ])
})

test.each([
  [
    'reconsent_renewals_total[2d]',
    'reconsent_renewed_total[2d]',
    'ReconsentNothingRenewed asks for reconsent_renewed_total, which',
  ],
  [
    '{answer="failed"}',
    '{answer="broken"}',
    'ReconsentCallbacksFail asks for reconsent_callbacks_total{answer="broken"}, which',
  ],
  [
    'failed|uncertain"}[1d]',
    'failed|unsure"}[1d]',
    'ReconsentMessagesFail asks for reconsent_messages_total{result="unsure"}, which',
  ],
  [
    '{reason="without-channel"}',
    '{reason="without"}',
    'ReconsentUsersWithoutAddress asks for reconsent_attention{reason="without"}, which',
  ],
])('a metric that no process has from its start: %s as %s', async (is, instead, problem) => {
  expect((await findProblems(ours.replace(is, instead))).join()).toContain(problem)
})

test('a case with a metric that no process has', async () => {
  const processes = company({ worker: { shows: { 'reconsent_jobs_total{queue="notify"}': since(5, 3) } } })
  await expect(
    findProblems(rule(`${failed} >= 3`), [{ says: 'planted', processes, looks: { 6: [fires] } }]),
  ).rejects.toThrow(/no process has/)
})

test('every label of every counter exists from the start, except those of requests', async () => {
  const clean = [...(await cleanSeries()).keys()]
  expect(clean.filter((series) => series.startsWith('reconsent_http'))).toEqual([])
  expect(clean.filter((series) => series.startsWith('reconsent_jobs_total'))).toHaveLength(5 * 7)
  expect(clean.filter((series) => series.startsWith('reconsent_provider_calls_total'))).toHaveLength(5 * 12)
  for (const series of [
    'reconsent_renewals_total{basis="refresh-after-expiry"}',
    'reconsent_alerts_total{name="message-unavailable"}',
  ])
    expect(clean).toContain(series)
})
