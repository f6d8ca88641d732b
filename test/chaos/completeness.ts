// Whether a run was complete: every kind of fault happened and every invariant was tested. A full run fails otherwise;
// a short run only reports what is missing.
import { type Counts, SCANS } from './browser.ts'
import type { Checked, Violation } from './checked.ts'
import type { Options } from './options.ts'
import type { Struck } from './struck.ts'

const FULL_FROM_MINUTES = 20

/** Long enough for each kind of fault to have its turn, with nothing left out on purpose. */
export const isFull = ({ minutes, calm, only }: Pick<Options, 'minutes' | 'calm' | 'only'>): boolean =>
  minutes >= FULL_FROM_MINUTES && !calm && only.length === 0

export interface Tally {
  readonly name: string
  readonly struck: number
  readonly happened: number
  /** Why the fault could not act; each reason once. */
  readonly problems: readonly string[]
}

/** Every known kind, and every other name in the log, in the order of their names. */
export const tallyOf = (log: readonly Struck[], kinds: readonly string[]): Tally[] => {
  const byName = Map.groupBy(log, (one) => one.name)
  return [...new Set([...kinds, ...byName.keys()])]
    .toSorted((a, b) => a.localeCompare(b))
    .map((name) => {
      const struck = byName.get(name) ?? []
      return {
        name,
        struck: struck.length,
        happened: struck.reduce((sum, { happened }) => sum + happened, 0),
        problems: [...new Set(struck.flatMap(({ problem }) => (problem === undefined ? [] : [problem])))],
      }
    })
}

export const everyKindHappened = (log: readonly Struck[], kinds: readonly string[], isDemanded: boolean): Checked => {
  const missing = tallyOf(log, kinds).filter(({ name, happened }) => happened === 0 && kinds.includes(name))
  const told = missing.map(({ name, struck, problems }) => ({
    invariant: 0,
    record: `fault "${name}"`,
    what:
      struck === 0
        ? 'never had its turn'
        : problems.length === 0
          ? `struck ${struck} times and nothing ever met it`
          : `could not act: ${problems.join('; ')}`,
  }))
  return {
    invariant: 0,
    says: 'every kind of fault happened',
    looked: kinds.length,
    violations: isDemanded ? told : [],
    notes: [],
    notShown:
      told.length === 0 || isDemanded
        ? undefined
        : `${told.length} kinds of fault did not happen, which a run of ${FULL_FROM_MINUTES} minutes may not leave out`,
  }
}

/** What users and their mail scanners do beyond an ordinary visit. */
const disturbances = [
  'scans',
  'repeated',
  'concurrent',
  'unknownState',
  'foreign',
  'forged',
  'replayed',
] as const satisfies readonly (keyof Counts)[]

export const everyDisturbanceHappened = (counts: Counts, isDemanded: boolean): Checked => {
  const missing = disturbances.filter((what) => counts[what] === 0)
  return {
    invariant: 0,
    says: 'users disturbed it in every way they have',
    looked: disturbances.length,
    notes: [],
    violations: isDemanded
      ? missing.map((what) => ({ invariant: 0, record: `users: ${what}`, what: 'never happened' }))
      : [],
    notShown:
      missing.length === 0 || isDemanded
        ? undefined
        : `no ${missing.join(', ')}, which a run of ${FULL_FROM_MINUTES} minutes may not leave out`,
  }
}

/**
 * `scannedBefore`: the start links through which a user came, with how often a mail scanner had got the page before.
 */
export const everyLinkScanned = (scannedBefore: ReadonlyMap<string, number>, isDemanded: boolean): Checked => {
  const links = [...scannedBefore.values()]
  const short = links.filter((times) => times < SCANS)
  return {
    invariant: 0,
    says: `mail scanners got the page of each start link ${SCANS} times before its user came`,
    looked: links.length,
    notes: [],
    violations: isDemanded
      ? short.map((times) => ({
          invariant: 0,
          record: 'a start link',
          what: `a mail scanner had got its page ${times} times before its user came, not ${SCANS} times`,
        }))
      : [],
    notShown:
      short.length === 0 || isDemanded
        ? undefined
        : `${short.length} of ${links.length} start links were fetched less often`,
  }
}

export const everyCheckLooked = (checked: readonly Checked[], isDemanded: boolean): Checked => {
  const blind = checked.filter(({ looked }) => looked === 0)
  const told = blind.map(({ invariant, says }): Violation => ({
    invariant,
    record: 'the run',
    what: `had nothing to look at for: ${says}`,
  }))
  return {
    invariant: 0,
    says: 'every invariant had something to look at',
    looked: checked.length,
    violations: isDemanded ? told : [],
    notes: [],
    notShown:
      told.length === 0 || isDemanded
        ? undefined
        : `${told.length} of them had nothing, which a run of ${FULL_FROM_MINUTES} minutes may not leave out`,
  }
}

type Demanding = Parameters<typeof isFull>[0] & Pick<Options, 'flushEveryMs'>

/**
 * A full run must show every invariant completely, except for what its options left out (the emptying by the clock,
 * which the ninth needs).
 */
export const demandShown = (checked: readonly Checked[], options: Demanding): Checked[] =>
  checked.map((one) => {
    const { invariant, notShown, violations } = one
    if (notShown === undefined || !isFull(options) || (invariant === 9 && options.flushEveryMs === undefined))
      return one
    return { ...one, violations: [...violations, { invariant, record: 'the run', what: `did not show: ${notShown}` }] }
  })
