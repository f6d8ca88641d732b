import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { findDrift } from '../../scripts/check-schema.ts'

const schema = readFileSync('prisma/schema.prisma', 'utf8')

it('finds a column that no migration makes', async () => {
  const changed = schema.replace('model Consent {', 'model Consent {\n  nickname String?')
  expect(await findDrift(changed)).toContain('ADD COLUMN     "nickname" TEXT')
})

it('finds an index that the schema has lost', async () => {
  const changed = schema.replace('@@index([status, expiresAt])', '')
  expect(await findDrift(changed)).toContain('DROP INDEX "consents_status_expires_at_idx"')
})

it('finds nothing where both agree', async () => {
  expect(await findDrift(schema)).toBe('')
})
