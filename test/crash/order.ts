// The messages to and from an armed process.
import type { PolicyInput } from '../../src/config/define-config.ts'
import type { PointName } from './points.ts'
import type { Role } from '../../src/main.ts'

export const modes = ['killed', 'thrown', 'hung'] as const
export type Mode = (typeof modes)[number]

export interface ChildOrder {
  readonly roles: readonly Role[]
  readonly env: Readonly<Record<string, string>>
  readonly policy: PolicyInput
  readonly queuePrefix: string
  /** 0: any free port. */
  readonly port: number
  /** The difference between the run's clock and the real one. */
  readonly offsetMs: number
  readonly point: PointName
  /** At which of its visits to the point the process is struck, from 1. */
  readonly nth: number
  readonly mode: Mode
  /** On its first visit to this point the process waits until the run has acted. */
  readonly waitAt: PointName | undefined
}

export type FromChild =
  | { readonly kind: 'awake' | 'ready' | 'waiting' | 'reached' | 'woke' }
  | { readonly kind: 'failed'; readonly why: string }
  /** It has passed a place that no point names and that is no mere read. */
  | { readonly kind: 'unknown-place'; readonly place: string }
export type ToChild =
  | { readonly kind: 'start'; readonly order: ChildOrder }
  | { readonly kind: 'go-on' }
  | { readonly kind: 'advance'; readonly ms: number }
