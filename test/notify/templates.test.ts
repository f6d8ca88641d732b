// The mail texts in the repository, and every way in which an edit can break them. `npm run check` runs these tests for
// the editors of the texts.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { locales } from '../../src/domain/locale.ts'
import { loadTemplates, ownTemplates, templateNames } from '../../src/notify/templates.ts'

const dirs: string[] = []
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true })
})

const aCopy = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'templates-'))
  dirs.push(dir)
  cpSync(ownTemplates, dir, { recursive: true })
  return dir
}

const edit = (dir: string, file: string, change: (text: string) => string): void => {
  writeFileSync(join(dir, file), change(readFileSync(join(dir, file), 'utf8')))
}

const problemsIn = (dir: string): string => {
  try {
    loadTemplates(dir)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

test('the mail texts in the repository have no problem', () => {
  expect(problemsIn(ownTemplates)).toBe('')
})

test('every language has every message, and no message is the same in two languages', () => {
  const { byLocale } = loadTemplates()
  for (const name of templateNames) {
    expect(new Set(locales.map((locale) => byLocale[locale][name].subject)).size).toBe(locales.length)
    expect(new Set(locales.map((locale) => byLocale[locale][name].paragraphs.join())).size).toBe(locales.length)
  }
})

test('edits that do no harm', () => {
  const dir = aCopy()
  edit(dir, 'en/expired.txt', (text) => `\uFEFF${text.replaceAll('\n', '\r\n')}`)
  edit(dir, 'fr/expired.txt', (text) => text.replaceAll('{{bank}}', '{{ bank }}').replaceAll('\n\n', '\n\n\n \n'))
  edit(dir, 'de/expired.txt', (text) => text.replace('Kontodaten von', 'Kontodaten\nvon'))
  writeFileSync(join(dir, 'de/.expired.txt.swp'), 'left over')
  writeFileSync(join(dir, 'de/expired.txt~'), 'left over')
  expect(problemsIn(dir)).toBe('')
  const { byLocale } = loadTemplates(dir)
  expect(byLocale.en.expired).toEqual(loadTemplates().byLocale.en.expired)
  expect(byLocale.de.expired).toEqual(loadTemplates().byLocale.de.expired)
})

const mistakes: Record<string, { file: string; change: (text: string) => string; says: RegExp }> = {
  'no subject': {
    file: 'fr/expired.txt',
    change: (text) => text.replace(/^Subject:.*\n/, ''),
    says: /fr\/expired\.txt:1: the first line must be `Subject: `/,
  },
  'an empty subject': {
    file: 'fr/expired.txt',
    change: (text) => text.replace(/^Subject:.*/, 'Subject:  '),
    says: /expired\.txt:1: the first line/,
  },
  'no words on the button': {
    file: 'it/expired.txt',
    change: (text) => text.replace(/^Button:.*\n/m, ''),
    says: /it\/expired\.txt:2: the second line must be `Button: `/,
  },
  'no blank line after the head': {
    file: 'it/expired.txt',
    change: (text) => text.replace('\n\n', '\n'),
    says: /it\/expired\.txt:3: a blank line must follow/,
  },
  'a misspelt placeholder': {
    file: 'pl/expired.txt',
    change: (text) => text.replace('{{bank}}', '{{bnak}}'),
    says: /pl\/expired\.txt:1: unknown placeholder \{\{bnak\}\}/,
  },
  'a misspelt placeholder further down': {
    file: 'es/last-day.txt',
    change: (text) => text.replace('{{graceEndsOn}}', '{{grace}}'),
    says: /es\/last-day\.txt:14: unknown placeholder \{\{grace\}\}/,
  },
  'a name in the subject': {
    file: 'en/expired.txt',
    change: (text) => text.replace('Subject: ', 'Subject: {{name}}, '),
    says: /en\/expired\.txt:1: \{\{name\}\} may not be used here/,
  },
  'a half placeholder': {
    file: 'en/expired.txt',
    change: (text) => text.replace('{{name}}', '{{name}'),
    says: /en\/expired\.txt:4: a brace that belongs to no/,
  },
  'no link': {
    file: 'de/uncertain.txt',
    change: (text) => text.replace('{{button}}\n', ''),
    says: /de\/uncertain\.txt:4: the link is missing/,
  },
  'two links': {
    file: 'de/uncertain.txt',
    change: (text) => `${text}\n{{link}}\n`,
    says: /de\/uncertain\.txt:18: a second link/,
  },
  'a button inside a sentence': {
    file: 'de/uncertain.txt',
    change: (text) => text.replace('{{button}}', 'Hier: {{button}}'),
    says: /de\/uncertain\.txt:10: \{\{button\}\} must be a paragraph of its own/,
  },
  'no bank': {
    file: 'de/uncertain.txt',
    change: (text) => text.replaceAll('{{bank}}', 'der Bank'),
    says: /de\/uncertain\.txt:4: the text must say \{\{bank\}\}/,
  },
  'no date': {
    file: 'de/uncertain.txt',
    change: (text) => text.replaceAll('{{expiresOn}}', 'bald'),
    says: /the text must say \{\{expiresOn\}\}/,
  },
  'a name without a greeting': {
    file: 'de/uncertain.txt',
    change: (text) => text.replace('Guten Tag {{name}}', '{{name}}'),
    says: /de\/uncertain\.txt:4: write a greeting before/,
  },
  'a tracking picture in the layout': {
    file: 'layout.html',
    change: (text) => text.replace('</body>', '<img src="https://t.example/x.gif">\n</body>'),
    says: /layout\.html:\d+: the layout may load nothing/,
  },
  'a layout without its text': {
    file: 'layout.html',
    change: (text) => text.replace('{{body}}', ''),
    says: /layout\.html:1: \{\{body\}\} is missing/,
  },
  'an empty file': {
    file: 'en/expired.txt',
    change: () => '',
    says: /en\/expired\.txt:1: the first line must be/,
  },
  'an empty layout': {
    file: 'layout.html',
    change: () => '',
    says: /layout\.html:1: \{\{lang\}\} is missing/,
  },
}

describe('a mistake is reported with its file and line', () => {
  for (const [name, { file, change, says }] of Object.entries(mistakes)) {
    test(name, () => {
      const dir = aCopy()
      edit(dir, file, change)
      expect(problemsIn(dir)).toMatch(says)
    })
  }

  test('a missing file', () => {
    const dir = aCopy()
    rmSync(join(dir, 'es/last-day.txt'))
    expect(problemsIn(dir)).toContain('es/last-day.txt: the file is missing')
  })

  test('a file saved in another encoding', () => {
    const dir = aCopy()
    writeFileSync(join(dir, 'fr/expired.txt'), Buffer.from('Subject: expiré', 'latin1'))
    expect(problemsIn(dir)).toContain('fr/expired.txt: the file is not UTF-8 text')
  })

  test('a file whose name fits no message', () => {
    const dir = aCopy()
    writeFileSync(join(dir, 'fr/expried.txt'), 'Subject: x')
    expect(problemsIn(dir)).toContain('fr/expried.txt: no message of this name is ever sent')
  })
})

test('all mistakes are reported at once', () => {
  const dir = aCopy()
  rmSync(join(dir, 'es'), { recursive: true })
  edit(dir, 'fr/expired.txt', (text) => text.replace(/^Subject:.*\n/, ''))
  edit(dir, 'pl/expired.txt', (text) => text.replaceAll('{{bank}}', '{{bnak}}'))
  const message = problemsIn(dir)
  for (const name of templateNames) expect(message).toContain(`es/${name}.txt: the file is missing`)
  expect(message).toContain('fr/expired.txt:1:')
  expect(message.match(/\{\{bnak\}\}/g)?.length).toBeGreaterThanOrEqual(3)
})
