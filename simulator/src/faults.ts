// Decides which request meets which fault: a list of rules per endpoint, with a seeded random source so that a run can
// be repeated.
import { z } from 'zod'
import { BadInput, readInput } from './bad-input.ts'
import { faultKinds, kindNames } from './fault-kinds.ts'
import type { ActiveSettings, FaultSettings } from './fault-kinds.ts'
import { endpoints } from './ledger.ts'
import type { Endpoint } from './ledger.ts'

/** `only` narrows a fault to one credentials_id, or at the endpoint `mail` to one recipient. */
export type FaultOrder = FaultSettings & { readonly endpoint: Endpoint }

export interface Fault {
  readonly id: number
  readonly endpoint: Endpoint
  readonly settings: ActiveSettings
  /** Counts of matching requests, and of those that met the fault. */
  readonly seen: number
  readonly fired: number
}

export interface Faults {
  /** Throws BadInput on an unknown endpoint, kind or setting. */
  add(order: FaultOrder): Fault
  list(): readonly Fault[]
  /** False when no fault has this id. */
  remove(id: number): boolean
  clear(): void
  /**
   * The fault that this request meets, if any: the first rule that fires, in the order in which the rules were added.
   * Updates the counts.
   */
  take(endpoint: Endpoint, subjects: readonly (string | undefined)[]): ActiveSettings | undefined
}

/** mulberry32: small, fast, and with the same numbers on every machine for the same seed. Returns numbers in [0, 1). */
const seededRandom = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const readOrder = (input: unknown): { endpoint: Endpoint; settings: ActiveSettings } => {
  const { endpoint, kind, ...settings } = readInput(z.looseObject({ endpoint: z.string(), kind: z.string() }), input)
  const known = endpoints.find((name) => name === endpoint)
  if (known === undefined) throw new BadInput([`unknown endpoint "${endpoint}"`], endpoints)
  const place = known === 'mail' ? 'mail' : 'http'
  const fitting = kindNames.filter((name) => faultKinds[name].on === place)
  const kindName = fitting.find((name) => name === kind)
  if (kindName === undefined) throw new BadInput([`unknown fault "${kind}" at the endpoint "${known}"`], fitting)
  const read = readInput(faultKinds[kindName].schema, settings, `setting of the fault "${kindName}"`)
  return { endpoint: known, settings: { kind: kindName, ...read } as ActiveSettings }
}

interface Rule {
  readonly id: number
  readonly endpoint: Endpoint
  readonly settings: ActiveSettings
  seen: number
  fired: number
}

export const makeFaults = ({ seed }: { seed: number }): Faults => {
  const random = seededRandom(seed)
  let rules: Rule[] = []
  let lastId = 0
  return {
    add: (order) => {
      const rule: Rule = { id: ++lastId, ...readOrder(order), seen: 0, fired: 0 }
      rules.push(rule)
      return { ...rule }
    },
    list: () => rules.map((rule) => ({ ...rule })),
    remove: (id) => {
      const before = rules.length
      rules = rules.filter((rule) => rule.id !== id)
      return rules.length < before
    },
    clear: () => {
      rules = []
    },
    take: (endpoint, subjects) => {
      for (const rule of rules) {
        const { only, skip, count, rate } = rule.settings
        if (rule.endpoint !== endpoint || (only !== undefined && !subjects.includes(only))) continue
        if (count !== undefined && rule.fired >= count) continue
        rule.seen++
        if (rule.seen <= skip || (rate < 1 && random() >= rate)) continue
        rule.fired++
        return rule.settings
      }
      return undefined
    },
  }
}
