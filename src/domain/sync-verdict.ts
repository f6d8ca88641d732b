// Whether the consents that a company's whole list lacks may be paused. Pure.

export interface SyncFound {
  /** Consents that were active and older than the sync when it was closed. */
  readonly active: number
  /** Those of them that no batch named. */
  readonly missing: number
}

export interface SyncVerdict {
  /** Per cent of the active ones, with two digits after the point. */
  readonly share: number
  readonly mayPause: boolean
}

/** A list that lacks many is far more often broken, or cut off, than true. */
export const judgeSync = ({ active, missing }: SyncFound, pauseAtMost: number): SyncVerdict => ({
  share: active === 0 ? 0 : Math.round((missing / active) * 10_000) / 100,
  mayPause: missing * 100 <= active * pauseAtMost,
})
