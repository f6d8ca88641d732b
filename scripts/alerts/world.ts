// What Prometheus sees of the processes in a rule test: the series of the program's own registry, as a process without
// trouble shows them, with the changes that the case names. A series that the program does not have is an error, so
// that renaming a series cannot silence an alert.
import { makeMetrics } from '../../src/metrics.ts'
import type { Fired, Process, RuleCase, Shown } from './rule-case.ts'

/** The series of one process without trouble, as a rule would name them, with their values; without histograms. */
export type CleanSeries = ReadonlyMap<string, number>

/**
 * The numbers of a database that contains everything that is counted, and nothing late. A gauge that a process may
 * leave out must be in here.
 */
export const cleanSeries = async (): Promise<CleanSeries> => {
  const { registry, recordQueue } = makeMetrics({
    collectCounts: async () => ({
      consents: { active: 100 },
      sweepAgeSeconds: 60,
      feedLagSeconds: 0,
      overdueSeconds: { consent: 0, authorisation: 0, notification: 0 },
      attention: {
        'without-channel': 0,
        'uncertain-notifications': 0,
        'authorisations-in-doubt': 0,
        'open-circuits': 0,
        'webhooks-disabled': 0,
        'webhooks-behind': 0,
      },
    }),
  })
  recordQueue(true)
  const metrics = (await registry.getMetricsAsJSON()).filter(
    ({ name, type }) => name.startsWith('reconsent_') && String(type) !== 'histogram',
  )
  return new Map(
    metrics.flatMap(({ name, values }) =>
      values.map(({ labels, value }) => [seriesName(name, labels), Math.round(value)] as const),
    ),
  )
}

const seriesName = (name: string, labels: Readonly<Record<string, string | number | undefined>>): string => {
  const words = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  return words.length === 0 ? name : `${name}{${words.join(',')}}`
}

const withLabels = (series: string, labels: string): string =>
  series.endsWith('}') ? `${series.slice(0, -1)},${labels}}` : `${series}{${labels}}`

type Values = readonly (number | 'stale' | undefined)[]

/** In promtool's notation, with equal values in a row joined. */
const notation = (values: Values): string => {
  const runs: { value: Values[number]; times: number }[] = []
  for (const value of values) {
    const last = runs.at(-1)
    if (last !== undefined && last.value === value) last.times += 1
    else runs.push({ value, times: 1 })
  }
  const words = runs.flatMap(({ value, times }) => {
    if (value === undefined) return [`_x${times}`]
    return value === 'stale' ? Array.from({ length: times }, () => 'stale') : [`${value}+0x${times - 1}`]
  })
  return words.join(' ')
}

/**
 * One value for each scrape. Where a series is left out or its process ends, Prometheus marks the end of the series.
 */
const scraped = (minutes: readonly number[], { from = 0, until = Infinity }: Process, shown: Shown): Values => {
  const values = minutes.map((minute) => (minute >= from && minute <= until ? shown(minute) : undefined))
  return values.map((value, index) => value ?? (values[index - 1] === undefined ? undefined : 'stale'))
}

const seriesOf = (clean: CleanSeries, minutes: readonly number[], instance: string, process: Process) => {
  const unknown = Object.keys(process.shows ?? {}).filter((series) => !clean.has(series))
  if (unknown.length > 0) throw new Error(`no process has ${unknown.join(', ')} from its start`)
  const where = `job="reconsent",instance="${instance}"`
  const own = [...clean].map(([series, value]) => {
    const shown = process.shows?.[series] ?? (() => value)
    return { series: withLabels(series, where), values: notation(scraped(minutes, process, shown)) }
  })
  const isWanted = (minute: number): boolean =>
    minute >= (process.from ?? 0) && (minute <= (process.until ?? Infinity) || process.afterwards === 'down')
  const up = scraped(minutes, {}, (minute) =>
    isWanted(minute) ? Number(minute <= (process.until ?? Infinity)) : undefined,
  )
  return [{ series: `up{${where}}`, values: notation(up) }, ...own]
}

export interface Rule {
  readonly alert: string
  readonly expr: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
}

/** What the case expects of this rule: with the labels that the case names, also in the rule's annotations. */
const expected = ({ alert, labels, annotations }: Rule, fired: readonly Fired[]) =>
  fired.flatMap((one) => {
    const named: Readonly<Record<string, string>> = typeof one === 'string' ? { alert: one } : one
    if (named['alert'] !== alert) return []
    const own = Object.fromEntries(Object.entries(named).filter(([label]) => label !== 'alert'))
    const inWords = (text: string): string =>
      text.replace(/\{\{ \$labels\.(\w+) \}\}/g, (whole, label: string) => own[label] ?? whole)
    const words = Object.entries(annotations).map(([name, text]) => [name, inWords(text)])
    return [{ exp_labels: { ...labels, ...own }, exp_annotations: Object.fromEntries(words) as Record<string, string> }]
  })

/** One test in promtool's own format: at each look, exactly the named alerts fire. */
export const promtoolTest = (
  clean: CleanSeries,
  rules: readonly Rule[],
  { says, everyMinutes = 1, processes, looks }: RuleCase,
) => {
  const end = Math.max(...Object.keys(looks).map(Number))
  const minutes = Array.from({ length: Math.ceil(end / everyMinutes) + 2 }, (_, index) => index * everyMinutes)
  return {
    name: says,
    interval: `${everyMinutes}m`,
    input_series: Object.entries(processes).flatMap(([instance, process]) =>
      seriesOf(clean, minutes, instance, process),
    ),
    alert_rule_test: Object.entries(looks).flatMap(([minute, fired]) =>
      rules.map((rule) => ({ eval_time: `${minute}m`, alertname: rule.alert, exp_alerts: expected(rule, fired) })),
    ),
  }
}
