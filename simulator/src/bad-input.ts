// Reads the simulator's settings strictly: a misspelt name is never ignored, but is an error that lists the known
// names.
import { z } from 'zod'
import { readDuration, readInstant } from './clock.ts'

/** Invalid input to the simulator; `/_control` answers 400 with the same lists. */
export class BadInput extends Error {
  override readonly name = 'BadInput'
  readonly problems: readonly string[]
  /** The valid names, when a name was wrong. */
  readonly known: readonly string[]

  constructor(problems: readonly string[], known: readonly string[] = []) {
    super(problems.join('; ') + (known.length > 0 ? ` (known: ${known.join(', ')})` : ''))
    this.problems = problems
    this.known = known
  }
}

/** Parses `input`. `noun` is the word for one of its keys in messages ("switch", "field"). Throws BadInput. */
export const readInput = <S extends z.ZodType>(schema: S, input: unknown, noun = 'field'): z.output<S> => {
  const parsed = schema.safeParse(input)
  if (parsed.success) return parsed.data
  const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : []
  let misspelt = false
  const problems = parsed.error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys' && issue.path.length === 0) {
      misspelt = true
      return issue.keys.map((key) => `unknown ${noun} "${key}"`)
    }
    return [`${issue.path.length > 0 ? issue.path.join('.') : 'body'}: ${issue.message}`]
  })
  throw new BadInput(problems, misspelt ? known : [])
}

/** An ISO 8601 instant with an offset, read as a UTC DateTime. */
export const instantInput = z.string().transform((text, context) => {
  const instant = readInstant(text)
  if (instant !== undefined) return instant
  context.addIssue('expected an ISO 8601 instant with an offset, such as 2026-11-23T09:00:00Z')
  return z.NEVER
})

/** `90d`, `12h`, `10m`, `30s` or an ISO 8601 duration. */
export const durationInput = z.string().transform((text, context) => {
  const duration = readDuration(text)
  if (duration !== undefined) return duration
  context.addIssue('expected a duration such as 90d, 12h, 10m, 30s or P1DT2H')
  return z.NEVER
})
