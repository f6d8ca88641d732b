// The texts of the pages in the repository, and the mistakes that an edit can make. `npm run check` runs these tests
// for the editors of the texts.
import { readdirSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { locales } from '../../../src/domain/locale.ts'
import { fill, messageKinds, pageTexts, problemsOfTexts } from '../../../src/http/pages/texts.ts'

test('every language has the same texts with the same placeholders', () => {
  expect(locales.flatMap((locale) => problemsOfTexts(locale, pageTexts[locale]))).toEqual([])
})

test('there is a file for every language and none besides', () => {
  const files = readdirSync(new URL('../../../src/http/pages/texts', import.meta.url)).sort()
  expect(files).toEqual(locales.map((locale) => `${locale}.json`).sort())
})

test('the list of message pages is complete', () => {
  expect([...messageKinds].sort()).toEqual(Object.keys(pageTexts.en.messages).sort())
})

test('no title is the same in two languages, none presses the user', () => {
  for (const kind of messageKinds) {
    const titles = locales.map((locale) => pageTexts[locale].messages[kind].title)
    expect(new Set(titles).size).toBe(locales.length)
    for (const title of titles) expect(title).not.toMatch(/!/)
  }
})

describe('mistakes are named by file and place', () => {
  const broken = (change: (texts: typeof pageTexts.fr) => void): string[] => {
    const texts = structuredClone(pageTexts.fr)
    change(texts)
    return problemsOfTexts('fr', texts)
  }

  test('a missing text', () => {
    expect(broken((texts) => Reflect.deleteProperty(texts.messages.busy, 'title'))).toEqual([
      'fr.json: "messages.busy.title" is missing',
    ])
  })

  test('an empty text and an empty paragraph', () => {
    expect(broken((texts) => (texts.start.button = '  '))).toContain(
      'fr.json: "start.button" is empty, or has an empty paragraph',
    )
    expect(broken((texts) => (texts.messages.internal.paragraphs = ['a', '']))).toEqual([
      'fr.json: "messages.internal.paragraphs" is empty, or has an empty paragraph',
    ])
    expect(broken((texts) => (texts.messages.internal.paragraphs = []))).toHaveLength(1)
  })

  test('a misspelt placeholder is both surplus and missing', () => {
    expect(broken((texts) => (texts.start.button = 'Vers {{bnak}}'))).toEqual([
      'fr.json: "start.button" may not say {{bnak}}',
      'fr.json: "start.button" must say {{bank}}',
    ])
  })

  test('a half placeholder', () => {
    expect(broken((texts) => (texts.start.button = 'Vers {{bank}} {{bank}'))).toEqual([
      'fr.json: "start.button" has a brace that belongs to no {{placeholder}}',
    ])
  })

  test('a text that no page shows', () => {
    expect(broken((texts) => Object.assign(texts.scopes, { salary: 'votre salaire' }))).toEqual([
      'fr.json: "scopes.salary" is used nowhere',
    ])
  })

  test('paragraphs may be separated differently', () => {
    expect(
      broken((texts) => (texts.messages.internal.paragraphs = [texts.messages.internal.paragraphs.join(' ')])),
    ).toEqual([])
  })
})

test('a value that looks like a placeholder is not filled in', () => {
  expect(fill('{{ bank }} and {{company}}', { bank: '{{company}}', company: '$& $1' })).toBe('{{company}} and $& $1')
})
