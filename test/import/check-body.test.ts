// What the API is sent is read as a row of a file is, but exactly.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { consentRow } from '../../src/http/api/consent-bodies.ts'
import { makeBodyCheck, makeChangesCheck } from '../../src/import/check-body.ts'
import { makeRowCheck } from '../../src/import/check-row.ts'
import { contactFieldNames, importFieldNames } from '../../src/import/fields.ts'
import { aLine, NOW } from './rows.ts'

const rules = { now: NOW, httpsOnly: true }
const check = makeBodyCheck(rules)
const checkFile = makeRowCheck(rules)
const full = () =>
  aLine({
    consented_at: '2026-11-01',
    provider_name: 'Monzo',
    phone: '+44 20 7946 0000',
    name: 'Ada\n Lovelace',
    locale: 'en-GB',
    time_zone: 'Europe/London',
    channels: ['email'],
    scopes: ['info', 'accounts'],
    supersedes: 'cred-0',
    token_issued_at: '2026-11-01T10:00:00Z',
  })

describe('a body', () => {
  test('with every field is read as a file reads it, and the document allows it', () => {
    const line = full()
    expect(Object.keys(line).toSorted()).toEqual([...importFieldNames].toSorted())
    const { value, problems } = check(line)
    expect(problems).toBeUndefined()
    expect(value).toEqual(checkFile(line).row)
    expect(consentRow.safeParse(line).error).toBeUndefined()
  })

  test('with each field but the required ones as null is as one without it', () => {
    const { expires_at, credentials_id, refresh_token, provider_id, country, redirect_uri, user_id } = full()
    const least = { expires_at, credentials_id, refresh_token, provider_id, country, redirect_uri, user_id }
    const nulls = Object.fromEntries(importFieldNames.map((name) => [name, null]))
    expect(check({ ...nulls, ...least })).toEqual(check(least))
    expect(consentRow.safeParse({ ...nulls, ...least }).error).toBeUndefined()
  })

  const refused: Record<string, [Record<string, unknown>, object[]]> = {
    'what a file leaves out with a warning is a problem': [
      { email: 'nobody', locale: 'xx-unknown', consented_at: 'yesterday' },
      [{ field: 'consented_at' }, { field: 'email' }, { field: 'locale' }],
    ],
    'an id with the marks of a spreadsheet is another id': [
      { user_id: '="00123"', credentials_id: "'00123" },
      [{ field: 'credentials_id' }, { field: 'user_id' }],
    ],
    'a list is a list': [{ scopes: 'info', channels: 'none' }, [{ field: 'scopes' }, { field: 'channels' }]],
    'it supersedes itself': [
      { credentials_id: 'c1', supersedes: 'c1' },
      [{ field: 'supersedes', detail: 'names the row itself' }],
    ],
  }
  test.each(Object.entries(refused))('%s', (_, [over, problems]) => {
    expect(check(aLine(over)).problems).toMatchObject(problems)
  })

  test('with a thousand unknown fields: some are named', () => {
    const junk = Object.fromEntries(Array.from({ length: 1000 }, (_, no) => [`e-mail${no}`, 1]))
    const { problems = [] } = check(aLine(junk))
    expect(problems).toHaveLength(21)
    expect(problems.at(-1)).toEqual({ field: undefined, detail: 'has 980 more fields that are not known' })
  })

  test('of whatever JSON: it is read or told what is wrong, without a value of it', () => {
    const planted = 'planted-value'
    const values = fc.oneof(fc.jsonValue(), fc.constant(planted), fc.string({ unit: 'binary' }))
    const bodies = fc.dictionary(fc.constantFrom(...importFieldNames, 'toString', 'x'), values)
    fc.assert(
      fc.property(bodies, (body) => {
        const { value, problems } = check(body)
        expect(value === undefined).toBe((problems ?? []).length > 0)
        expect(JSON.stringify(problems ?? [])).not.toContain(planted)
        if (value !== undefined) expect(consentRow.safeParse(body).success).toBe(true)
      }),
    )
  })
})

describe('changes', () => {
  const checkChanges = makeChangesCheck(NOW)
  test('null clears, what is not there stays', () => {
    expect(checkChanges({})).toEqual({ value: {} })
    const all = Object.fromEntries(contactFieldNames.map((name) => [name, null]))
    expect(checkChanges(all).value).toEqual({
      email: null,
      phone: null,
      name: null,
      locale: null,
      timeZone: null,
      channels: null,
    })
    expect(checkChanges({ email: 'a@example.com', channels: [] }).value).toEqual({
      email: 'a@example.com',
      channels: [],
    })
  })

  test('other fields of a consent are not known here', () => {
    expect(checkChanges({ country: 'GB', emial: 'x' }).problems).toEqual([
      { field: 'country', detail: 'is not known' },
      { field: 'emial', detail: 'is not known: did you mean email?' },
    ])
  })
})
