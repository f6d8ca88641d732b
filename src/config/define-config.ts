// The types of worker.config.ts. Imports nothing, so that loading a policy file loads nothing else.

/** A whole number and a unit: ms, s, m, h, d, w. */
export type DurationText = `${number}${'ms' | 's' | 'm' | 'h' | 'd' | 'w'}`

/**
 * How a consent is renewed: `reauth` keeps the connection, `full` is a full authentication and makes a new connection.
 */
export type RouteText = 'reauth' | 'full'

/**
 * What `worker.config.ts` may contain. Everything but the company's name has a default; docs/configuration.md explains
 * each key.
 */
export interface PolicyInput {
  readonly sweep?: { readonly cron?: string }
  readonly ladder?: readonly (`-${number}d` | '0d' | `+${number}d`)[]
  readonly quietHours?: false | { readonly from: string; readonly to: string }
  readonly spread?: false | DurationText
  readonly link?: { readonly freshFor?: DurationText }
  readonly routes?: readonly RouteText[]
  readonly providers?: Readonly<
    Record<
      string,
      {
        readonly reauth?: 'yes' | 'no' | 'auth-inputs'
        readonly routes?: readonly RouteText[]
        readonly validity?: DurationText
        readonly grace?: DurationText
      }
    >
  >
  readonly afterGrace?: 'nothing' | 'ask-once'
  readonly limits?: { readonly messagesPerHour?: number }
  readonly company?: { readonly name?: string }
  readonly board?: { readonly allowDestructive?: boolean }
  readonly timing?: {
    readonly lease?: DurationText
    readonly queuedFor?: DurationText
    readonly codeTimer?: DurationText
    readonly jobDeadline?: DurationText
    readonly stopWithin?: DurationText
    readonly unreadyFor?: DurationText
    readonly requestTimeout?: DurationText
    readonly pageSize?: number
    readonly maxWaiting?: number
    readonly concurrency?: { readonly reauth?: number; readonly notify?: number; readonly exchange?: number }
    readonly retry?: { readonly attempts?: number; readonly firstDelay?: DurationText }
  }
}

/** Returns the policy unchanged; it only gives it its type. */
export const defineConfig = (policy: PolicyInput): PolicyInput => policy
