// The texts in the repository, and every way in which an edit can break them.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { describeFailure } from '../../src/commands/failure.ts'
import { locales } from '../../src/domain/locale.ts'
import { languageSchema, noticeNames } from '../../src/texts/catalogue.ts'
import { templateNames } from '../../src/texts/template-names.ts'
import { loadTexts, ownTextsFolder } from '../../src/texts/load-texts.ts'
import { texts } from '../../src/texts/own-texts.ts'

const dirs: string[] = []
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true })
})

type Change = (text: string) => string

const aCopy = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'texts-'))
  dirs.push(dir)
  cpSync(ownTextsFolder, dir, { recursive: true })
  return dir
}

const read = (dir: string, file: string): string => readFileSync(join(dir, file), 'utf8')

const edit = (dir: string, file: string, change: Change): string => {
  const before = read(dir, file)
  const after = change(before)
  expect(after, 'the edit changes the file').not.toBe(before)
  writeFileSync(join(dir, file), after)
  return after
}

const problemsIn = (dir: string): string => {
  try {
    loadTexts(dir)
    return ''
  } catch (error) {
    return (error as Error).message
  }
}

const NO_GROUPS = `the groups ${Object.keys(languageSchema.shape).join(' and ')} are missing`

/** Where an entry of a language's file begins and ends: `mails.expired`, `pages.start`. */
const entry = (source: string, path: string): { start: number; end: number } => {
  const [group = '', name = ''] = path.split('.')
  const start = source.indexOf(`\n  ${name}:\n`, source.indexOf(`${group}:\n`)) + 1
  const length = source.slice(start).search(/\n(?: {2})?[^\s][^]*$/)
  return { start, end: length < 0 ? source.length : start + length + 1 }
}

const within =
  (path: string, change: Change): Change =>
  (source) => {
    const { start, end } = entry(source, path)
    return source.slice(0, start) + change(source.slice(start, end)) + source.slice(end)
  }

test('the texts in the repository have no problem', () => {
  expect(problemsIn(ownTextsFolder)).toBe('')
})

test('every language has every text, and no text is the same in two languages', () => {
  const inEach = (text: (of: (typeof texts.byLocale)['en']) => unknown): number =>
    new Set(locales.map((locale) => JSON.stringify(text(texts.byLocale[locale])))).size
  for (const name of templateNames) {
    expect(inEach(({ mails }) => mails[name].subject)).toBe(locales.length)
    expect(inEach(({ mails }) => mails[name].text)).toBe(locales.length)
  }
  for (const kind of noticeNames) expect(inEach(({ pages }) => pages[kind].title)).toBe(locales.length)
})

test('no title presses the user', () => {
  for (const locale of locales)
    for (const kind of noticeNames) expect(texts.byLocale[locale].pages[kind].title).not.toMatch(/!/)
})

test('edits that do no harm', () => {
  const dir = aCopy()
  edit(dir, 'en.yaml', (text) => `\uFEFF${text.replaceAll('\n', '\r\n')}`)
  edit(dir, 'es.yaml', (text) => text.replaceAll('\n', '\r'))
  edit(dir, 'fr.yaml', (text) => text.replaceAll('{{bank}}', '{{ bank }}').replaceAll('\n\n', '\n\n\n \n'))
  edit(dir, 'de.yaml', (text) =>
    text.replaceAll('Kontodaten von', 'Kontodaten\n      von').replaceAll(/"(.*)"$/gm, "'$1'"),
  )
  edit(dir, 'it.yaml', (text) => `---\n# a note\n${text.replaceAll(': |\n', ': |- # a note\n')}`)
  edit(dir, 'pl.yaml', (text) => text.replaceAll(/^( +)(title|button): "(.*)"$/gm, '$1$2: |\n$1    $3'))
  writeFileSync(join(dir, '.de.yaml.swp'), 'left over')
  writeFileSync(join(dir, 'de.yaml~'), 'left over')
  expect(problemsIn(dir)).toBe('')
  const { byLocale } = loadTexts(dir)
  for (const locale of ['en', 'es', 'de', 'it', 'pl'] as const) expect(byLocale[locale]).toEqual(texts.byLocale[locale])
})

test('a page’s paragraphs may be divided otherwise than in English', () => {
  const dir = aCopy()
  edit(
    dir,
    'fr.yaml',
    within('pages.internal', (text) => text.replace('\n\n', '\n')),
  )
  expect(loadTexts(dir).byLocale.fr.pages.internal.text).toEqual([texts.byLocale.fr.pages.internal.text.join(' ')])
})

test('a mail may have a link inside a sentence instead of a button, and then needs no words for one', () => {
  const dir = aCopy()
  const change: Change = (text) => text.replace('{{button}}', '→ {{link}}').replace(/^ +button:.*\n/m, '')
  edit(dir, 'en.yaml', within('mails.expired', change))
  expect(loadTexts(dir).byLocale.en.mails.expired.text).toContain('→ {{link}}')
})

interface Mistake {
  readonly file: string
  /** The entry that is changed; without it, the whole file. */
  readonly of?: string
  readonly change: Change
  /** What the line begins or contains that the report must name; without it, the first line of what is changed. */
  readonly at?: string | RegExp
  readonly says: string
}

/** Mistakes that any text can have, tried in a mail and in a page. */
const anywhere: Record<string, Omit<Mistake, 'file' | 'of'>> = {
  'a misspelt placeholder in a title': {
    change: (text) => text.replace(': "', ': "{{bnak}} '),
    at: '{{bnak}}',
    says: 'unknown placeholder {{bnak}}',
  },
  'a misspelt placeholder further down': {
    change: (text) => text.replace('\n\n', '\n\n      x {{grace}}\n'),
    at: '{{grace}}',
    says: 'unknown placeholder {{grace}}',
  },
  'a placeholder of another text': {
    change: (text) => text.replace('\n\n', '\n\n      {{scope}} x\n'),
    at: '{{scope}}',
    says: '{{scope}} may not be used here',
  },
  'a half placeholder': {
    change: (text) => text.replace(/(\|\n(?:.*\n)*?.*\{\{company)\}\}/, '$1}'),
    at: '{{company} ',
    says: 'a brace that belongs to no {{placeholder}}',
  },
  'a required placeholder left out': {
    change: (text) =>
      text.replace(/\|\n(.*\n)+/, (body) =>
        body.replaceAll('{{bank}}', 'the bank').replace('|\n      ', '|\n      planted '),
      ),
    at: 'planted',
    says: 'must say {{bank}}',
  },
  'an empty text': {
    change: (text) => text.replace(/: ".*"\n/, ': "  "\n'),
    at: '"  "',
    says: 'the text is empty',
  },
  'a name without its text': {
    change: (text) => text.replace(/: ".*"\n/, ':\n'),
    at: /(?:subject|title):\n/,
    says: 'the text is empty',
  },
  'a block without a text': {
    change: (text) => text.replace(/\|\n(?: {6}.*\n|\n)+/, '|\n\n'),
    at: /(?<=\|\n)/,
    says: 'the text is empty',
  },
  'two paragraphs where there is one': {
    change: (text) => text.replace(/: ".*?"\n/, ': |\n      {{bank}}\n\n      second\n'),
    at: 'second',
    says: 'a second paragraph: this text has only one',
  },
  'two paragraphs between quotation marks': {
    change: (text) => text.replace(/: "(.*)"\n/, ': "$1\n\n      second"\n'),
    at: ': "',
    says: 'quotation marks hold one paragraph',
  },
  'a text that nothing shows': {
    change: (text) => text.replace('\n', '\n    salary: "x"\n'),
    at: 'salary:',
    says: '.salary: nothing of this name is ever shown',
  },
  'a name that is there twice': {
    change: (text) => text.replace(/^ {4}button: .*\n/m, '$&    button: "planted"\n'),
    at: '"planted"',
    says: 'the name is there a second time',
  },
  'a text without quotation marks': {
    change: (text) => text.replace(/: ".*"\n/, ': Number #1 at the bank\n'),
    at: 'Number #1',
    says: 'write the text in quotation marks',
  },
  ...Object.fromEntries(
    ['no', 'yes', 'true', 'null', '~', '12', '1.5', '0x1F', '2026-11-29', '12:30', '[x]', '- x', '{a: b}'].map(
      (value) => [
        `the value ${value}`,
        {
          change: (text: string) => text.replace(/: ".*"\n/, `: ${value} # planted\n`),
          at: '# planted',
          says: '',
        },
      ],
    ),
  ),
  'a text that begins with a placeholder, without quotation marks': {
    change: (text) => text.replace(/: ".*"\n/, ': {{bank}} is here\n'),
    at: '{{bank}} is here',
    says: 'write the text in quotation marks',
  },
  'a colon without quotation marks': {
    change: (text) => text.replace(/: ".*"\n/, ': At {{bank}}: here\n'),
    at: 'At {{bank}}: here',
    says: 'write the text in quotation marks',
  },
  'a quotation mark inside quotation marks': {
    change: (text) => text.replace(/: ".*"\n/, ': "the "good" bank"\n'),
    at: 'good',
    says: 'inside quotation marks write \\" for a quotation mark',
  },
  'a quotation mark that is not closed': {
    change: (text) => text.replace(/: "(.*)"\n/, ": 'planted\n"),
    at: "'planted",
    says: 'quot',
  },
  'a backslash inside quotation marks': {
    change: (text) => text.replace(/: ".*"\n/, ': "C:\\dir"\n'),
    at: 'C:\\dir',
    says: 'a backslash inside quotation marks',
  },
  'a control character': {
    change: (text) => text.replace(/: ".*"\n/, ': "planted \\x00"\n'),
    at: 'planted',
    says: 'quotation marks hold one paragraph',
  },
  'joined lines (>)': {
    change: (text) => text.replace(': |', ': >'),
    at: ': >',
    says: 'write | instead of >',
  },
  'an anchor': {
    change: (text) => text.replace(': "', ': &mark "'),
    at: '&mark',
    says: 'anchors (&) and tags (!) are not used here',
  },
  'a reference': {
    change: (text) => text.replace(/: ".*"\n/, ': *mark\n'),
    at: '*mark',
    says: 'references (*) are not used here',
  },
  'a merge': {
    change: (text) => text.replace('\n', '\n    <<: *mark\n'),
    at: '<<: *mark',
    says: 'references (*) are not used here',
  },
  'a tag': {
    change: (text) => text.replace(': "', ': !!str "'),
    at: '!!str',
    says: 'anchors (&) and tags (!) are not used here',
  },
  'a tag of a program': {
    change: (text) => text.replace(': "', ': !include "'),
    at: '!include',
    says: 'anchors (&) and tags (!) are not used here',
  },
  'a tab before a name': {
    change: (text) => text.replace(/^ {4}(button|next):/m, '\t$1:'),
    at: '\t',
    says: 'a tab: indent with spaces',
  },
  'a line of a text that is not indented': {
    change: (text) => text.replace(/^ {6}(\S.*)\n/m, (line) => `${line}planted line\n`),
    at: 'planted line',
    says: 'the line is neither a name with a colon nor indented like the text above it',
  },
  'a name that is indented too far': {
    change: (text) => text.replace(/^ {4}(button|next):/m, '     $1:'),
    at: '     button:',
    says: '',
  },
}

const mistakes: Record<string, Mistake> = {
  'no subject': {
    file: 'fr.yaml',
    of: 'mails.expired',
    change: (text) => text.replace(/^ +subject:.*\n/m, ''),
    at: '  expired:',
    says: 'mails.expired.subject: is missing',
  },
  'an empty subject': {
    file: 'fr.yaml',
    of: 'mails.expired',
    change: (text) => text.replace(/subject: .*/, 'subject: "  "'),
    at: 'subject: "  "',
    says: 'mails.expired.subject: the text is empty',
  },
  'no words on the button': {
    file: 'it.yaml',
    of: 'mails.expired',
    change: (text) => text.replace(/^ +button:.*\n/m, '').replace('{{bank}}', '{{bnak}}'),
    at: '  expired:',
    says: 'mails.expired.button: the words on the button are missing',
  },
  'a name in the subject': {
    file: 'en.yaml',
    of: 'mails.expired',
    change: (text) => text.replace('subject: "', 'subject: "{{name}}, '),
    at: 'subject: "{{name}}, ',
    says: 'mails.expired.subject: {{name}} may not be used here',
  },
  'no link': {
    file: 'de.yaml',
    of: 'mails.uncertain',
    change: (text) => text.replace('{{button}}\n', '\n').replace('Guten Tag', 'Lieber'),
    at: 'Lieber',
    says: 'mails.uncertain.text: the link is missing',
  },
  'two links': {
    file: 'de.yaml',
    of: 'mails.uncertain',
    change: (text) => `${text.trimEnd()}\n\n      {{link}}\n\n`,
    at: '{{link}}',
    says: 'mails.uncertain.text: a second link',
  },
  'a button inside a sentence': {
    file: 'de.yaml',
    of: 'mails.uncertain',
    change: (text) => text.replace('{{button}}', 'Hier: {{button}}'),
    at: 'Hier: {{button}}',
    says: 'mails.uncertain.text: {{button}} must be a paragraph of its own',
  },
  'no date': {
    file: 'de.yaml',
    of: 'mails.uncertain',
    change: (text) => text.replaceAll('{{expiresOn}}', 'bald').replace('Guten', 'Planted'),
    at: 'Planted',
    says: 'mails.uncertain.text: must say {{expiresOn}}',
  },
  'a name without a greeting': {
    file: 'de.yaml',
    of: 'mails.uncertain',
    change: (text) => text.replace('Guten Tag {{name}}', '{{name}} planted'),
    at: '{{name}} planted',
    says: 'mails.uncertain.text: write a greeting before {{name}}',
  },
  'a button in a page': {
    file: 'fr.yaml',
    of: 'pages.closed',
    change: (text) => text.replace('{{company}}', '{{company}} {{button}}'),
    at: '{{company}} {{button}}',
    says: 'pages.closed.text: {{button}} may not be used here',
  },
  'a name in a page': {
    file: 'fr.yaml',
    of: 'pages.closed',
    change: (text) => text.replace('{{company}}', '{{company}} {{name}}'),
    at: '{{company}} {{name}}',
    says: 'pages.closed.text: {{name}} may not be used here',
  },
  'a scope that the start page does not know': {
    file: 'fr.yaml',
    change: (text) => text.replace('    scopes:\n', '    scopes:\n      salary: "votre salaire"\n'),
    at: 'salary:',
    says: 'pages.start.scopes.salary: nothing of this name is ever shown',
  },
  'a missing title': {
    file: 'fr.yaml',
    of: 'pages.busy',
    change: (text) => text.replace(/^ +title:.*\n/m, ''),
    at: '  busy:',
    says: 'pages.busy.title: is missing',
  },
  'a mail that is never sent': {
    file: 'fr.yaml',
    change: (text) => text.replace('mails:\n', 'mails:\n  expried:\n    subject: "x"\n'),
    at: 'expried:',
    says: 'mails.expried: nothing of this name is ever shown',
  },
  'a page that is never shown': {
    file: 'fr.yaml',
    change: (text) => text.replace('pages:\n', 'pages:\n  bussy:\n    title: "x"\n'),
    at: 'bussy:',
    says: 'pages.bussy: nothing of this name is ever shown',
  },
  'a missing page': {
    file: 'fr.yaml',
    change: (text) => text.replace(/^  busy:\n(?:(?!  \S).*\n)*/m, ''),
    at: 'pages:',
    says: 'pages.busy: is missing',
  },
  'a text in place of a group': {
    file: 'fr.yaml',
    change: (text) => text.replace(/^    scopes:\n(?: {6}.*\n)*/m, '    scopes: "x"\n'),
    at: 'scopes: "x"',
    says: 'pages.start.scopes: must be a group of texts',
  },
  'a list in place of a text': {
    file: 'fr.yaml',
    of: 'pages.busy',
    change: (text) => text.replace(/title: (".*")/, 'title:\n      - $1'),
    at: 'title:\n      - ',
    says: 'pages.busy.title: must be a text',
  },
  'an empty file': { file: 'en.yaml', change: () => '', says: NO_GROUPS },
  'a file of comments': { file: 'en.yaml', change: () => '# later\n', says: NO_GROUPS },
  'a file with a text alone': {
    file: 'en.yaml',
    change: () => '"x"\n',
    says: NO_GROUPS,
  },
  'two documents': {
    file: 'en.yaml',
    change: (text) => `${text}---\n${text}`,
    at: '---',
    says: 'a line of --- or ... ends the file here',
  },
  'the file of an older release': {
    file: 'en.yaml',
    change: () => 'Subject: {{company}}: x\nButton: y\n\nHello {{name}},\n',
    says: 'write the text in quotation marks',
  },
  'an older YAML, in which no is a truth value': {
    file: 'en.yaml',
    change: (text) => `%YAML 1.1\n---\n${text.replace(/button: .*/, 'button: no')}`,
    at: 'button: no',
    says: 'write the text in quotation marks',
  },
  'a tracking picture in the layout': {
    file: 'mail-layout.html',
    change: (text) => text.replace('</body>', '<img src="https://t.example/x.gif">\n</body>'),
    at: '<img',
    says: 'the layout may load nothing',
  },
  'an unknown placeholder in the layout': {
    file: 'mail-layout.html',
    change: (text) => text.replace('</body>', '{{company}}\n</body>'),
    at: '{{company}}',
    says: 'unknown placeholder {{company}}: there are {{lang}}, {{subject}}, {{body}}',
  },
  'a layout without its text': {
    file: 'mail-layout.html',
    change: (text) => text.replace('{{body}}', ''),
    says: '{{body}} is missing',
  },
  'an empty layout': { file: 'mail-layout.html', change: () => '', says: '{{lang}} is missing' },
}

const expectReport = ({ file, of, change, at = '', says }: Mistake): void => {
  const dir = aCopy()
  const after = edit(dir, file, of === undefined ? change : within(of, change))
  const start = of === undefined ? 0 : entry(after, of).start
  const found = typeof at === 'string' ? after.indexOf(at, start) - start : after.slice(start).search(at)
  expect(found, `the changed file has ${at}`).toBeGreaterThanOrEqual(0)
  const line = `${file}:${after.slice(0, start + found).split('\n').length}: `
  const reports = problemsIn(dir).split('\n  ').slice(1)
  const isReported = reports.some((report) => report.startsWith(line) && report.includes(says))
  expect({ line, says, isReported, reports }).toEqual({ line, says, isReported: true, reports })
}

describe('a mistake is reported with its file and line', () => {
  for (const [name, mistake] of Object.entries(mistakes)) test(name, () => expectReport(mistake))

  for (const [path, file] of [
    ['mails.expired', 'it.yaml'],
    ['pages.refused-at-bank', 'it.yaml'],
  ] as const)
    describe(`in ${path}`, () => {
      for (const [name, mistake] of Object.entries(anywhere))
        test(name, () => expectReport({ ...mistake, file, of: path }))
    })

  test('a missing file', () => {
    const dir = aCopy()
    rmSync(join(dir, 'es.yaml'))
    rmSync(join(dir, 'mail-layout.html'))
    expect(problemsIn(dir)).toContain('es.yaml: the file is missing')
    expect(problemsIn(dir)).toContain('mail-layout.html: the file is missing')
  })

  test('a file saved in another encoding', () => {
    const dir = aCopy()
    writeFileSync(join(dir, 'fr.yaml'), Buffer.from(read(dir, 'fr.yaml'), 'latin1'))
    expect(problemsIn(dir)).toContain('fr.yaml: the file is not UTF-8 text')
  })

  test('a file whose name fits no language', () => {
    const dir = aCopy()
    writeFileSync(join(dir, 'nl.yaml'), read(dir, 'en.yaml'))
    writeFileSync(join(dir, 'fr.yml'), read(dir, 'fr.yaml'))
    expect(problemsIn(dir)).toContain('nl.yaml: no language of this name: there are en, fr, ')
    expect(problemsIn(dir)).toContain('fr.yml: no language of this name')
  })
})

test('all mistakes are reported at once, in the order of their lines', () => {
  const dir = aCopy()
  rmSync(join(dir, 'es.yaml'))
  edit(
    dir,
    'fr.yaml',
    within('mails.expired', (text) => text.replace(/^ +subject:.*\n/m, '')),
  )
  edit(dir, 'pl.yaml', (text) => text.replaceAll('{{bank}}', '{{bnak}}').replace(/button: "(.*)"/, 'button: $1'))
  edit(dir, 'de.yaml', (text) => text.replace('mails:', 'mails: planted'))
  edit(dir, 'mail-layout.html', (text) => text.replace('{{body}}', ''))
  const message = problemsIn(dir)
  for (const file of ['fr.yaml:', 'de.yaml:2:', 'es.yaml: the file is missing', 'mail-layout.html:1:'])
    expect(message).toContain(file)
  const ofPolish = [...message.matchAll(/pl\.yaml:(\d+): (.*)/g)].map(([, line, what]) => ({
    line: Number(line),
    what,
  }))
  expect(ofPolish.map(({ what }) => what)).toEqual(
    expect.arrayContaining([
      expect.stringMatching(/^mails\.expired\.text: unknown placeholder \{\{bnak\}\}/),
      expect.stringMatching(/^mails\.expired\.text: must say \{\{bank\}\}/),
      expect.stringMatching(/^pages\.start\.title: must say \{\{bank\}\}/),
      expect.stringMatching(/^write the text in quotation marks/),
    ]),
  )
  expect(ofPolish.map(({ line }) => line)).toEqual(ofPolish.map(({ line }) => line).toSorted((a, b) => a - b))
})

test('who starts the program reads the whole list, and the exit code says that it is the installation’s', () => {
  const dir = aCopy()
  for (const locale of locales) edit(dir, `${locale}.yaml`, (text) => text.replaceAll('{{bank}}', '{{bnak}}'))
  const failure = (): unknown => {
    try {
      return loadTexts(dir)
    } catch (error) {
      return describeFailure(error)
    }
  }
  expect(failure()).toEqual({ exitCode: 2, message: problemsIn(dir) })
  expect(problemsIn(dir).length).toBeGreaterThan(5_000)
})

test('the step of `npm run check` passes and fails as the start does', () => {
  const dir = aCopy()
  const check = () => spawnSync(process.execPath, ['scripts/check-texts.ts', dir], { encoding: 'utf8' })
  expect(check()).toMatchObject({ status: 0, stderr: '' })
  edit(dir, 'pl.yaml', (text) => text.replace('{{bank}}', '{{bnak}}'))
  expect(check()).toMatchObject({ status: 1, stdout: '', stderr: `${problemsIn(dir)}\n` })
})
