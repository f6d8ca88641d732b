// A policy file may export anything. Reading a Map or a promise as if it was an object would find no keys in it, and so
// silently take every default.

/** Deeper than any value of a policy. */
const MAX_DEPTH = 8

/** Stands for what is no plain data. No schema accepts it, so its key gets the problem of a wrong type. */
const notPlain = Symbol('no plain data')

/** Whether the value is an object as `{ … }` or JSON makes them. */
export const isPlainObject = (value: unknown): value is Readonly<Record<string, unknown>> => {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Copies objects and lists; each property is read once. Throws what a getter throws, and a TypeError for __proto__. */
export const copyPlainData = (value: unknown, depth = 0): unknown => {
  if (typeof value !== 'object' || value === null) return value
  if (depth > MAX_DEPTH) return notPlain
  if (Array.isArray(value)) return Array.from(value, (entry) => copyPlainData(entry, depth + 1))
  if (!isPlainObject(value)) return notPlain
  // zod passes over this key, whatever the schema says of unknown ones.
  if (Object.hasOwn(value, '__proto__')) throw new TypeError('__proto__ is no key of a policy')
  return Object.fromEntries(Object.keys(value).map((key) => [key, copyPlainData(value[key], depth + 1)]))
}
