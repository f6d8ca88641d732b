import { DateTime } from 'luxon'
import { describe, expect, test } from 'vitest'
import { decideToken, type TokenQuestion } from '../../src/domain/import-token.ts'

const day = (number: number): DateTime => DateTime.utc(2026, 11, number)
const candidate = (issued?: number): TokenQuestion['candidate'] => ({
  version: 1,
  arrivedAt: day(20),
  issuedAt: issued === undefined ? undefined : day(issued),
})
const owner = { id: 'the-id', credentialsId: 'cred-other' }

const table: Record<string, [Partial<TokenQuestion>, object]> = {
  'that is ours changes nothing': [{ standing: 'current' }, { kind: 'kept', warning: undefined }],
  'that waits already changes nothing': [{ standing: 'candidate', candidate: candidate() }, { kind: 'kept' }],
  'that is new waits': [{}, { kind: 'candidate' }],
  'that is new takes the place of an earlier candidate': [{ candidate: candidate() }, { kind: 'candidate' }],
  'issued later takes the place of a candidate': [{ candidate: candidate(5), issuedAt: day(6) }, { kind: 'candidate' }],
  'issued at the same time takes the place of a candidate': [
    { candidate: candidate(5), issuedAt: day(5) },
    { kind: 'candidate' },
  ],
  'issued earlier does not': [
    { candidate: candidate(5), issuedAt: day(4) },
    { kind: 'kept', warning: undefined },
  ],
  'without a date takes the place of a candidate with one': [{ candidate: candidate(5) }, { kind: 'candidate' }],
  'that the provider has rejected is left out with a warning': [
    { standing: 'barred' },
    { kind: 'kept', warning: expect.stringContaining('rejected or replaced') },
  ],
  'of another consent is refused, and that one is named': [
    { owner },
    { kind: 'refused', reason: expect.stringMatching(/the-id.*cred-other/) },
  ],
  'of another consent is refused even if it is ours as well': [{ owner, standing: 'current' }, { kind: 'refused' }],
  'replaces one that does not decrypt': [{ isReadable: false }, { kind: 'replaces' }],
  'that waits replaces one that does not decrypt': [
    { isReadable: false, standing: 'candidate', candidate: candidate() },
    { kind: 'replaces' },
  ],
  'that is barred replaces nothing': [{ isReadable: false, standing: 'barred' }, { kind: 'kept' }],
  'of another consent replaces nothing': [{ isReadable: false, owner }, { kind: 'refused' }],
}

describe('an imported token', () => {
  test.each(Object.entries(table))('%s', (_, [question, decision]) =>
    expect(
      decideToken({
        standing: 'new',
        owner: undefined,
        isReadable: true,
        candidate: undefined,
        issuedAt: undefined,
        ...question,
      }),
    ).toMatchObject(decision),
  )
})
