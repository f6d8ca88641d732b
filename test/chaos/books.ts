// The books of a run, and what a check is that reads them. Types alone.
import type { Checked } from './checked.ts'
import type { Span } from './obstacles.ts'
import type { OperatorAct } from './operators.ts'
import type { User } from './population.ts'
import type { Evidence, Records } from './records.ts'
import type { Crowd } from './users.ts'

export type Check = (books: Books) => Checked

export interface Books extends Evidence {
  readonly records: Records
  readonly crowd: Pick<Crowd, 'bankLinks' | 'attempts' | 'leftOut' | 'mailed' | 'foreign' | 'forged'>
  /** What operators and users stopped by hand. */
  readonly acts: readonly OperatorAct[]
  readonly users: readonly User[]
  /** Worker processes of the run. */
  readonly workers: number
  /** When the run stopped to look, in real milliseconds. */
  readonly endedAt: number
  /** When more was due than the workers had done: work waits its turn then. */
  readonly backlogs: readonly Span[]
}
