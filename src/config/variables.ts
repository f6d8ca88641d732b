// Reads environment variables: directly or, for secrets, from the file that NAME_FILE names. What a value may be is
// said in environment.ts.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { z } from 'zod'
import { Secret } from '../secret.ts'
import { environment, type Values, type VariableName } from './environment.ts'
import type { Notes } from './notes.ts'
import type { Report } from './problems.ts'
import { nearest } from './suggest.ts'

export type { VariableName }
export type Environment = Readonly<Record<string, string | undefined>>

/** Of each variable, whether NAME_FILE may name a file that holds it, and what to do when it is missing. */
export const variables = Object.fromEntries(
  Object.entries(environment.shape).map(([name, schema]) => {
    const { secret = false, hint = '' } = schema.meta() as Notes
    return [name, { secret, hint }]
  }),
) as Readonly<Record<VariableName, { readonly secret: boolean; readonly hint: string }>>

const names = Object.keys(variables) as readonly VariableName[]

const isKnown = (name: string): boolean =>
  Object.hasOwn(variables, name.endsWith('_FILE') ? name.slice(0, -'_FILE'.length) : name)

/** Whether the environment sets this variable, directly or through its file. An empty value counts as unset. */
export const isSet = (env: Environment, name: VariableName): boolean =>
  Boolean(env[name]?.trim()) || (variables[name].secret && Boolean(env[`${name}_FILE`]?.trim()))

export interface VariableReader {
  /**
   * Each variable's value as it was written, a secret's as a Secret; undefined when the variable is not set or cannot
   * be read. A variable is read when its value is first asked for, and what is wrong with reading it is reported then.
   */
  readonly values: Values
  /**
   * The output of a schema over variables. Reports every problem with them, and then returns undefined. Variables that
   * the schema does not name are not read.
   */
  parse<S extends z.ZodType>(schema: S): z.output<S> | undefined
}

const MAX_LENGTH = 65_536

export const makeVariableReader = ({
  env,
  cwd,
  report,
}: {
  env: Environment
  cwd: string
  report: Report
}): VariableReader => {
  const readFile = (name: VariableName, file: string): string | undefined => {
    const where = `${name}_FILE`
    let text: string
    try {
      text = readFileSync(resolve(cwd, file), 'utf8')
    } catch (error) {
      // The path is not reported: an operator may have put the secret itself here, and it must not appear in a log.
      const code = (error as NodeJS.ErrnoException).code
      report(where, `names a file that cannot be read${code === undefined ? '' : ` (${code})`}`)
      return undefined
    }
    const value = text.trim()
    if (value === '') report(where, 'names a file that is empty')
    return value === '' ? undefined : value
  }

  const read = (name: VariableName): string | undefined => {
    // Editors and `echo` end a file with a line break that is not part of the value, and people leave spaces in both.
    const value = env[name]?.trim() || undefined
    const file = (variables[name].secret && env[`${name}_FILE`]?.trim()) || undefined
    if (value !== undefined && file !== undefined) {
      report(name, `and ${name}_FILE are both set: unset one of them`)
      return undefined
    }
    const found = file === undefined ? value : readFile(name, file)
    if (found === undefined) return undefined
    if (found.length > MAX_LENGTH || /\p{Cc}/u.test(found)) {
      report(
        file === undefined ? name : `${name}_FILE`,
        'holds a line break or another control character, or is far too long',
      )
      return undefined
    }
    return found
  }

  const reportMissing = (name: VariableName): void => {
    const { hint, secret: hasFile } = variables[name]
    const others = Object.keys(env).filter((other) => Boolean(env[other]) && !isKnown(other))
    const meant = nearest(name, others)
    const file = hasFile ? ` ${name}_FILE may name a file that holds it.` : ''
    report(name, `is not set.${meant === undefined ? '' : ` Was it misspelt as ${meant}?`} ${hint}${file}`)
  }

  // Sections share variables, and what connections learn about an address is stored under its Secret.
  const found = new Map<VariableName, string | Secret | undefined>()
  const values = {} as Values
  for (const name of names) {
    const get = (): string | Secret | undefined => {
      if (!found.has(name)) {
        const text = read(name)
        found.set(name, text !== undefined && variables[name].secret ? new Secret(text) : text)
      }
      return found.get(name)
    }
    Object.defineProperty(values, name, { get })
  }

  return {
    values,
    parse(schema) {
      const parsed = schema.safeParse(values)
      if (parsed.success) return parsed.data
      for (const { code, message, path } of parsed.error.issues) {
        const name = path[0] as VariableName
        // Values have the type that the schema expects, so a wrong type means that there is no value.
        if (code !== 'invalid_type') report(name, message)
        else if (!isSet(env, name)) reportMissing(name)
      }
      return undefined
    },
  }
}
