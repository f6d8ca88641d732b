// How a case of the rule tests is written: processes over some minutes, and which alerts fire when.

/** What a process shows of one series in a minute of the case; undefined: nothing. */
export type Shown = (minute: number) => number | undefined

export interface Process {
  /** The minutes of the case in which it runs: all unless said. */
  readonly from?: number
  readonly until?: number
  /** After that it is still looked for and not reached (`down`), or no longer looked for (`gone`, unless said). */
  readonly afterwards?: 'down' | 'gone'
  /** By series (series.ts). What is not said is as without trouble, where counters stay at 0. */
  readonly shows?: Readonly<Record<string, Shown>>
}

/** The alert's name; with the labels that it must have beside those of its rule. */
export type Fired = string | Readonly<Record<'alert' | (string & {}), string>>

export interface RuleCase {
  readonly says: string
  /** Between two scrapes: 1 unless said; 5 for what takes days, where rules are evaluated every 30. */
  readonly everyMinutes?: 1 | 5
  /** By instance. */
  readonly processes: Readonly<Record<string, Process>>
  /** By minute: the alerts that fire then, all of them. */
  readonly looks: Readonly<Record<number, readonly Fired[]>>
}

/** One process of each role, with what a case says of them and of further ones. */
export const company = (over: Readonly<Record<string, Process>> = {}): Readonly<Record<string, Process>> => ({
  web: {},
  worker: {},
  scheduler: {},
  ...over,
})

/** All three show the same: numbers about the database. */
export const everybody = (shows: NonNullable<Process['shows']>): Readonly<Record<string, Process>> =>
  company({ web: { shows }, worker: { shows }, scheduler: { shows } })

/** `before` until that minute, then `value`. */
export const since =
  (minute: number, value: number | undefined, before: number | undefined = 0): Shown =>
  (now) =>
    now < minute ? before : value

/** One more at each of these minutes. */
export const at =
  (...minutes: readonly number[]): Shown =>
  (now) =>
    minutes.filter((minute) => minute <= now).length

/** So many more in each minute. */
export const everyMinute =
  (count: number): Shown =>
  (now) =>
    Math.floor(now * count)
