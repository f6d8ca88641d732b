// The gate of states: whatever the store writes, a record only goes where domain/lifecycle.ts lets it go.
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeVault } from '../../src/crypto/vault.ts'
import {
  authorisationTransitions,
  consentTransitions,
  notificationTransitions,
  renewalTransitions,
} from '../../src/domain/lifecycle.ts'
import { Secret } from '../../src/secret.ts'
import type { Transaction } from '../../src/store/database.ts'
import type { NoStatus } from '../../src/store/columns.ts'
import { imports } from '../../src/store/import.ts'
import { type MovedKind, moveAll, moveOne, moveRow } from '../../src/store/moves.ts'
import { openStore } from '../../src/store/open-store.ts'
import { aPolicy } from '../builders.ts'
import { ringOf } from '../crypto/keys.ts'
import { aRow, NOW } from '../import/rows.ts'
import { createDatabase } from '../setup/database.ts'
import { planting } from '../setup/plant.ts'

type Table = Readonly<Record<string, Readonly<Record<string, string | undefined>>>>
const tables: Record<MovedKind, Table> = {
  consent: consentTransitions,
  renewal: renewalTransitions,
  authorisation: authorisationTransitions,
  notification: notificationTransitions,
}
const at = NOW.toJSDate()
/** The columns that the database's CHECKs want beside each status. */
const beside: Record<MovedKind, (status: string) => object> = {
  consent: (status) => ({ nextActionAt: status === 'active' ? at : null }),
  renewal: (status) => ({ closedAt: status === 'open' ? null : at, proof: { basis: 'planted' } }),
  authorisation: (status) => ({
    nextActionAt: ['issued', 'code_received', 'exchanging', 'verifying', 'in_doubt', 'awaiting_date'].includes(status)
      ? at
      : null,
  }),
  notification: (status) => ({ nextActionAt: ['pending', 'sending'].includes(status) ? at : null }),
}

let opened: ReturnType<typeof openStore>
const ids = { consent: '', renewal: randomUUID(), authorisation: randomUUID(), notification: randomUUID() }
beforeAll(async () => {
  const vault = makeVault({ keys: ringOf('k1') })
  opened = openStore({ url: new Secret(await createDatabase()), vault, connections: 3 })
  const row = aRow()
  await imports(opened.db, aPolicy()).importBatch([row], { now: NOW, correct: false })
  ids.consent = (await opened.store.findConsent(row.credentialsId))?.id ?? ''
  const { consent: consentId, renewal: renewalId } = ids
  const { prisma } = opened.db
  await prisma.renewal.create({
    data: {
      id: renewalId,
      consentId,
      cycle: 1,
      openedBy: 'system',
      reason: 'due',
      openedAt: at,
      previousExpiresAt: at,
    },
  })
  await prisma.authorisation.create({
    data: {
      id: ids.authorisation,
      consentId,
      renewalId,
      route: 'reauth',
      stateHash: new Uint8Array(32),
      doneId: 'done',
      redirectUri: row.redirectUri,
      issuedAt: at,
      expiresAt: at,
      nextActionAt: at,
    },
  })
  await prisma.notification.create({
    data: {
      id: ids.notification,
      consentId,
      renewalId,
      cycle: 1,
      rung: 'first',
      channel: 'email',
      situation: 'reminder',
      createdAt: at,
      nextActionAt: at,
    },
  })
})
afterAll(async () => opened.close())

const statusOf = async (kind: MovedKind): Promise<string> => {
  const model = opened.db.prisma[kind] as unknown as Transaction['consent']
  return (await model.findUniqueOrThrow({ where: { id: ids[kind] } })).status
}
const plant = async (kind: MovedKind, status: string): Promise<void> => {
  const model = planting(opened.db)[kind] as unknown as ReturnType<typeof planting>['consent']
  await model.update({ where: { id: ids[kind] }, data: { status, ...beside[kind](status) } })
}

describe.each(Object.entries(tables) as [MovedKind, Table][])('%s', (kind, table) => {
  const states = Object.keys(table)
  const pairs = states.flatMap((from) => states.map((to) => [from, to] as const))
  // Any target is one of the kind's own; the compiler cannot follow the two lists side by side.
  const target = (to: string): never => to as never

  test('a write moves a record along the arrows of the table, and along no other', async () => {
    for (const [from, to] of pairs) {
      await plant(kind, from)
      const move = { where: { id: ids[kind] }, data: beside[kind](to) }
      const moved = await moveAll(opened.db.prisma, kind, target(to), move as never)
      const isDrawn = table[from]?.[to] !== undefined
      expect([from, to, moved, await statusOf(kind)]).toEqual([from, to, isDrawn ? 1 : 0, isDrawn ? to : from])
    }
  })

  test('of one record an arrow that is not drawn is an error, and nothing is written', async () => {
    for (const [from, to] of pairs.filter(([before, after]) => table[before]?.[after] === undefined)) {
      await plant(kind, from)
      const row = { id: ids[kind], status: from }
      const write = moveOne(opened.db.prisma as never, kind, row, target(to), { data: beside[kind](to) } as never)
      await expect(write).rejects.toThrow(`${from} to ${to}`)
      expect(() => moveRow(kind, { ...row } as never, target(to))).toThrow(`${from} to ${to}`)
      expect(await statusOf(kind)).toBe(from)
    }
  })

  test('a narrower list of sources widens nothing', async () => {
    for (const [from, to] of pairs.filter(([before, after]) => table[before]?.[after] === undefined)) {
      await plant(kind, from)
      const move = { from: [from], where: { id: ids[kind] }, data: beside[kind](to) }
      expect(await moveAll(opened.db.prisma, kind, target(to), move as never)).toBe(0)
    }
  })
})

test('Prisma takes no status beside the gate, and the gate no arrow that is not drawn: tsc holds these lines', () => {
  const never = async (tx: Transaction): Promise<void> => {
    // @ts-expect-error: the status is not for `update`
    await tx.consent.update({ where: { id: '' }, data: { status: 'active' } })
    // @ts-expect-error: nor for `updateMany`
    await tx.notification.updateMany({ where: {}, data: { status: 'pending' } })
    const hidden = { status: 'renewed', closedAt: at }
    // @ts-expect-error: nor where it comes by a spread
    await tx.renewal.updateMany({ where: {}, data: { ...hidden } })
    // @ts-expect-error: nor among the values that are assigned to a row in memory
    Object.assign(hidden, { status: 'renewed' } satisfies NoStatus)
    // @ts-expect-error: `upsert` is not there at all
    await tx.authorisation.upsert({})
    // @ts-expect-error: no code is sent again after an unknown outcome
    await moveAll(tx, 'authorisation', 'code_received', { from: ['in_doubt'], where: {}, data: {} })
    // @ts-expect-error: no message that was sent is queued again
    await moveAll(tx, 'notification', 'pending', { from: ['sent'], where: {}, data: {} })
    // @ts-expect-error: a condition on the status is the gate's own
    await moveAll(tx, 'renewal', 'open', { where: { status: 'renewed' }, data: {} })
  }
  expect(never).toBeTypeOf('function')
})

const root = join(import.meta.dirname, '../../src')
const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
  (file) => file.endsWith('.ts') && !file.startsWith('generated/') && file !== 'store/moves.ts',
)

const textOf = (file: string): string => readFileSync(join(root, file), 'utf8')

/** Their SQL writes a status of another table, which has no arrows, and touches none of the four with a gate. */
const ofOtherTables = ['store/answers.ts', 'store/webhook-deliveries.ts', 'store/webhook-endpoints.ts']

test('no SQL of the sources writes a status itself', () => {
  // From SET up to what ends a list of assignments.
  const assignments = (sql: string): string[] => sql.match(/\bSET\b[\s\S]*?(?=\bWHERE\b|\bFROM\b|`)/g) ?? []
  for (const file of ofOtherTables)
    expect([file, /UPDATE (?:consents|renewals|authorisations|notifications|\$)/.test(textOf(file))]).toEqual([
      file,
      false,
    ])
  const guarded = files.filter((file) => !ofOtherTables.includes(file))
  const found = guarded.flatMap((file) =>
    assignments(textOf(file))
      .filter((list) => /(?:\bSET|,)\s*"?status"?\s*=/.test(list))
      .map((list) => `${file}: ${list}`),
  )
  expect(found).toEqual([])
  expect(assignments("UPDATE x SET a = 1, status = 'sent' WHERE true`")).toEqual(["SET a = 1, status = 'sent' "])
})

// Whole rows are changed in memory and written back (writeConsents), where the type of the client checks nothing.
test('a row in memory is given a status by the gate alone: assigned values are checked to hold none', () => {
  const users = files.filter((file) => /\b(?:writeConsents|moveRow)\(/.test(textOf(file)))
  expect(users.toSorted()).toEqual(['store/import-batch.ts', 'store/import.ts', 'store/reopening.ts'])
  for (const file of users) {
    const count = (pattern: RegExp): number => textOf(file).match(pattern)?.length ?? 0
    expect([file, count(/\.status = /g)]).toEqual([file, 0])
    const checked = count(/\} satisfies (?:Change<\w+>|Partial<ConsentRow> & NoStatus)\)/g)
    expect([file, checked]).toEqual([file, count(/\bObject\.assign\(/g)])
  }
})
