// Every key of the policy, as the JSON Schema of its zod schema describes it: for docs/configuration.md, and to suggest
// a known key for an unknown one.
import { z } from 'zod'
import { policySchema } from './policy-schema.ts'

type JsonSchema = z.core.JSONSchema.BaseSchema

export interface PolicyKey {
  /** `*` stands for the name of a bank or country. */
  readonly path: readonly string[]
  readonly schema: JsonSchema
  /** The value without the key, as it would be written; undefined when there is none. */
  readonly default: unknown
}

const keysIn = (schema: JsonSchema, path: readonly string[], outerDefault: unknown): readonly PolicyKey[] => {
  const here: unknown = schema.default ?? outerDefault
  // The keys of "an object, or false" are those of the object.
  const inside = (schema.anyOf ?? [schema]).flatMap(({ properties = {}, additionalProperties: others }) => [
    ...Object.entries(properties),
    ...(typeof others === 'object' ? [['*', others] as const] : []),
  ])
  if (inside.length === 0) return [{ path, schema, default: here }]
  return inside.flatMap(([name, inner]) =>
    keysIn(inner as JsonSchema, [...path, name], (here as Readonly<Record<string, unknown>> | undefined)?.[name]),
  )
}

export const policyKeys: readonly PolicyKey[] = keysIn(
  z.toJSONSchema(policySchema, { io: 'input', unrepresentable: 'any' }),
  [],
  undefined,
)
