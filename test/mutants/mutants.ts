// The mistakes that the suite must catch: each is one that a tired engineer could make and defend. When a mutant
// survives, improve the tests; never make the mutant cruder. `npm run test:mutants` applies the mutants to a copy.
import { codes } from './list/codes.ts'
import { fencing } from './list/fencing.ts'
import { renewals } from './list/renewals.ts'
import { surface } from './list/surface.ts'
import { mistakes, type Mutant } from './mutant.ts'

const placeOf = ({ mistake }: Mutant): number => mistakes.indexOf(mistake)

/** Sorted by the order of the mistakes. */
export const mutants: readonly Mutant[] = [...fencing, ...codes, ...renewals, ...surface].toSorted(
  (a, b) => placeOf(a) - placeOf(b),
)
