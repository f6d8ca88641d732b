// How PostgreSQL would run the statements that the store sends: recorded on their way, then explained with the same
// values. A test of a plan so follows its statement wherever that is rewritten.
import pg from 'pg'

interface Statement {
  readonly text: string
  readonly values: readonly unknown[]
}

interface Node {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly Plans?: readonly Node[]
}

/** One step of a plan: what it does and on what, such as `Index Scan consents_due`. */
export type Step = string

type Query = (this: pg.Client, query: string | Partial<Statement>, values?: unknown, done?: unknown) => unknown

/** What is sent to any database while `work` runs. Only connections that are opened in `work` are seen. */
const recordStatements = async (work: () => Promise<unknown>): Promise<Statement[]> => {
  const statements: Statement[] = []
  const prototype = pg.Client.prototype as unknown as { query: Query }
  const { query: send } = prototype
  prototype.query = function query(query, values, done) {
    const { text = '', values: bound } = typeof query === 'string' ? { text: query } : query
    statements.push({ text, values: bound ?? (Array.isArray(values) ? values : []) })
    return send.call(this, query, values, done)
  }
  try {
    await work()
  } finally {
    prototype.query = send
  }
  return statements
}

const stepsOf = (node: Node): Step[] => [
  [node['Node Type'], node['Index Name'] ?? node['Relation Name']].filter((word) => word !== undefined).join(' '),
  ...(node.Plans ?? []).flatMap(stepsOf),
]

/**
 * Either plan can be what runs: one for the values, or, in a session that has planned the statement often, one for any
 * values.
 */
export const planKinds = ['for the values', 'for any values'] as const
export type PlanKind = (typeof planKinds)[number]

/** The plans of the statements that `work` sends about one of these tables, in order, each as its steps. */
export const plansOf = async (
  url: string,
  tables: readonly string[],
  work: () => Promise<unknown>,
  kind: PlanKind = 'for the values',
): Promise<Step[][]> => {
  const asked = (await recordStatements(work)).filter(
    ({ text }) =>
      /^\s*(?:SELECT|WITH|UPDATE|INSERT|DELETE)\b/i.test(text) &&
      tables.some((table) => new RegExp(String.raw`\b${table}\b`).test(text)),
  )
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    const plans: Step[][] = []
    for (const { text, values } of asked) {
      const isGeneric = kind === 'for any values'
      const explain = `EXPLAIN (FORMAT JSON ${isGeneric ? ', GENERIC_PLAN' : ''}) ${text}`
      const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Node }] }>(
        isGeneric ? { text: explain } : { text: explain, values: [...values] },
      )
      const plan = rows[0]?.['QUERY PLAN'][0].Plan
      if (plan !== undefined) plans.push(stepsOf(plan))
    }
    return plans
  } finally {
    await client.end()
  }
}
