// The parts of which a case of the rule tests is written: processes over some minutes, and the alerts that fire then.

/**
 * The value that a process shows for one series in a minute of the case; undefined where it does not show the series.
 */
export type Shown = (minute: number) => number | undefined

export interface Process {
  /** The minutes of the case in which the process runs; by default all. */
  readonly from?: number
  readonly until?: number
  /**
   * After that, Prometheus still scrapes the process without an answer (`down`), or no longer knows it (`gone`, the
   * default).
   */
  readonly afterwards?: 'down' | 'gone'
  /** By series (series.ts). Series that are not named are as in a process without trouble, where counters stay at 0. */
  readonly shows?: Readonly<Record<string, Shown>>
}

/** The alert's name; or the name with the labels that the alert must have in addition to those of its rule. */
export type Fired = string | Readonly<Record<'alert' | (string & {}), string>>

export interface RuleCase {
  readonly says: string
  /** Minutes between two scrapes: 1 by default; 5 for cases over days, where rules are evaluated every 30 minutes. */
  readonly everyMinutes?: 1 | 5
  /** By instance. */
  readonly processes: Readonly<Record<string, Process>>
  /** By minute: all the alerts that fire then. */
  readonly looks: Readonly<Record<number, readonly Fired[]>>
}

/** One process of each role, with the case's changes to them and its further processes. */
export const company = (over: Readonly<Record<string, Process>> = {}): Readonly<Record<string, Process>> => ({
  web: {},
  worker: {},
  scheduler: {},
  ...over,
})

/** All three processes show the same series: those about the database. */
export const everybody = (shows: NonNullable<Process['shows']>): Readonly<Record<string, Process>> =>
  company({ web: { shows }, worker: { shows }, scheduler: { shows } })

/** `before` until that minute, then `value`. */
export const since =
  (minute: number, value: number | undefined, before: number | undefined = 0): Shown =>
  (now) =>
    now < minute ? before : value

/** A counter that rises by one at each of these minutes. */
export const at =
  (...minutes: readonly number[]): Shown =>
  (now) =>
    minutes.filter((minute) => minute <= now).length

/** A counter that rises by so many in each minute. */
export const everyMinute =
  (count: number): Shown =>
  (now) =>
    Math.floor(now * count)
