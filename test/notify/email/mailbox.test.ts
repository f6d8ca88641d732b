// The parser of mail addresses: every spelling of a sender is accepted exactly as written or refused with the reason;
// another program reads from the mail exactly what was accepted.
import { domainToASCII } from 'node:url'
import fc from 'fast-check'
import addressparser from 'nodemailer/lib/addressparser'
import MailComposer from 'nodemailer/lib/mail-composer'
import { simpleParser } from 'mailparser'
import { describe, expect, test } from 'vitest'
import { loadConfig } from '../../../src/config.ts'
import { needsSmtpUtf8 } from '../../../src/domain/mail-address.ts'
import { mailboxProblem, readSender } from '../../../src/notify/email/mailbox.ts'
import { soundEnv } from '../../config/environment.ts'

/** Compares domains in their ASCII form, whether they were written in letters or in ASCII. */
const inAscii = (address: string): string =>
  address.replace(/@(.*)$/s, (_, domain: string) => `@${domainToASCII(domain)}`)

/** The sender that mailparser reads from the finished mail. */
const asReceived = async (from: { name: string; address: string }) => {
  const node = new MailComposer({ from: { ...from }, to: 'zoe@mail.test', subject: 'x', text: 'x' }).compile()
  const { from: read } = await simpleParser(await node.build())
  return { read: read?.value, header: /^From: (.*(?:\r\n[ \t].*)*)/m.exec((await node.build()).toString())?.[1] }
}

const accepted: Record<string, { name: string; address: string; received?: string }> = {
  'consents@example.com': { name: '', address: 'consents@example.com' },
  '<consents@example.com>': { name: '', address: 'consents@example.com' },
  'a@b': { name: '', address: 'a@b' },
  'Example <a@b>': { name: 'Example', address: 'a@b' },
  'Example<a@b>': { name: 'Example', address: 'a@b' },
  'Example Inc. <a@b.test>': { name: 'Example Inc.', address: 'a@b.test' },
  "O'Brien & Sons <a@b.test>": { name: "O'Brien & Sons", address: 'a@b.test' },
  "'Example' <a@b.test>": { name: "'Example'", address: 'a@b.test' },
  'Example [Test] <a@b.test>': { name: 'Example [Test]', address: 'a@b.test' },
  '"Example, Ltd" <a@b>': { name: 'Example, Ltd', address: 'a@b' },
  '"Example: Consents" <a@b>': { name: 'Example: Consents', address: 'a@b' },
  '"Example; Consents" <a@b>': { name: 'Example; Consents', address: 'a@b' },
  '"Example (UK)" <a@b>': { name: 'Example (UK)', address: 'a@b' },
  '"Example @ Home" <a@b>': { name: 'Example @ Home', address: 'a@b' },
  '"Example <Home>" <a@b>': { name: 'Example <Home>', address: 'a@b' },
  '"The \\"Best\\" Bank" <a@b>': { name: 'The "Best" Bank', address: 'a@b' },
  '"back\\\\slash" <a@b>': { name: 'back\\slash', address: 'a@b' },
  '"" <a@b>': { name: '', address: 'a@b' },
  'Exämple Größe <a@b.test>': { name: 'Exämple Größe', address: 'a@b.test' },
  '"Exämple, Größe" <a@b.test>': { name: 'Exämple, Größe', address: 'a@b.test' },
  'Żółć Sp. z o.o. <a@b.test>': { name: 'Żółć Sp. z o.o.', address: 'a@b.test' },
  '銀行 <a@b.test>': { name: '銀行', address: 'a@b.test' },
  'Bank 👩‍💻 of the very long name that needs more than one encoded word <a@b.test>': {
    name: 'Bank 👩‍💻 of the very long name that needs more than one encoded word',
    address: 'a@b.test',
  },
  'Example <a+tag.x_y-z@sub.example.co.uk>': { name: 'Example', address: 'a+tag.x_y-z@sub.example.co.uk' },
  'Example <a@münchen.test>': { name: 'Example', address: 'a@münchen.test', received: 'a@xn--mnchen-3ya.test' },
  'Example <a@xn--mnchen-3ya.test>': { name: 'Example', address: 'a@xn--mnchen-3ya.test' },
  'Example <zażółć@b.test>': { name: 'Example', address: 'zażółć@b.test' },
}

describe('a sender that is accepted', () => {
  test.each(Object.entries(accepted))('%s', async (from, { received, ...sender }) => {
    expect(readSender(from)).toEqual({ sender })
    const { read, header } = await asReceived(sender)
    // mailparser shows an international domain in letters; the header has its ASCII form.
    expect(read?.map(({ name }) => name)).toEqual([sender.name])
    expect(header).toContain(received ?? sender.address)
    expect(addressparser(header ?? '')).toHaveLength(1)
  })
})

const refused: Record<string, RegExp> = {
  '': /no @/,
  Company: /no @/,
  'Example Ltd': /between < and >/,
  'Example Ltd a@b': /between < and >/,
  'Example <a@b': /after the >, or the > is missing/,
  'a@b>': /< is missing/,
  'Example <a@b> x': /after the >/,
  '<a@b> Example': /after the >/,
  'a@b (Example)': /between < and >/,
  'a@b(Example)': /holds one of/,
  'Example (Ltd) <a@b>': /parenthesis, which begins a comment/,
  'Example, Ltd <a@b>': /a comma, .* double quotes/,
  'Example: Consents <a@b>': /a colon, which begins a group.* double quotes/,
  'Example; Consents <a@b>': /a semicolon/,
  'Example: a@b;': /only one/,
  'Example: <a@b>;': /after the >/,
  'undisclosed-recipients:;': /only one/,
  'a@b, c@d': /only one/,
  'a@b,c@d': /only one/,
  'a@b;c@d': /only one/,
  'a@b,': /only one/,
  'A <a@b>, B <c@d>': /the name holds/,
  'A <a@b> <c@d>': /the name holds/,
  'a@b <c@d>': /an @/,
  'a@b@c': /more than one @/,
  'Example <a@b@c>': /more than one @/,
  '@b': /before its @/,
  'a@': /domain that is none/,
  '<>': /no @/,
  '<@>': /before its @/,
  'Example <>': /no @/,
  'Example < a@b >': /a space/,
  'Example <a @b>': /a space/,
  '"Example <a@b>': /quotes stand around/,
  'Example" <a@b>': /quotes stand around/,
  'The "Best" Bank <a@b>': /quotes stand around/,
  '"a" "b" <a@b>': /quotes stand around/,
  '"Example\\" <a@b>': /quotes stand around/,
  'Back\\slash <a@b>': /a backslash/,
  '"Back\\slash" <a@b>': /with a backslash before it/,
  '" " <a@b>': /begins or ends with a space/,
  '" Example" <a@b>': /begins or ends with a space/,
  'Example\u00A0Ltd <a@b>': /no plain space/,
  '=?utf-8?Q?Ex=C3=A4mple?= <a@b>': /encoded/,
  '"=?UTF-8?B?RXg=?=" <a@b>': /encoded/,
  'Example\r\nBcc: x@y <a@b>': /not to be seen/,
  'Example\u0000 <a@b>': /not to be seen/,
  'Example\u202E <a@b>': /not to be seen/,
  'Exa\u200Bmple <a@b>': /not to be seen/,
  'Example\u2028 <a@b>': /not to be seen/,
  'Exam\uFEFFple <a@b>': /not to be seen/,
  '"a@b"@c': /between < and >/,
  'Example <"a b"@c>': /the name holds|holds one of|a space|quotes/,
  'a@[127.0.0.1]': /holds one of/,
  'a@127.0.0.1': /ends in a number/,
  'a@0x7f000001': /ends in a number/,
  '=?utf-8?Q?x?=a@b': /encoded/,
  '.a@b': /a dot at the edge/,
  'a.@b': /a dot at the edge/,
  'a..c@b': /two in a row/,
  'a@b..c': /domain that is none/,
  'a@.b': /domain that is none/,
  'a@b.': /domain that is none/,
  'a@-b': /domain that is none/,
  'a@b-': /domain that is none/,
  'a@b%2ec': /domain that is none/,
  'a@b/c': /domain that is none/,
  'a@exam\u00ADple.com': /not to be seen/,
  [`a@${'b'.repeat(64)}.test`]: /domain that is none/,
  [`a@${'bcd.'.repeat(64)}test`]: /domain that is none/,
  [`${'a'.repeat(65)}@b`]: /before its @/,
  [`${'ä'.repeat(33)}@b`]: /before its @/,
  [`${'x'.repeat(201)} <a@b>`]: /longer than 200/,
}

describe('a sender that is refused, with the reason', () => {
  test.each(Object.entries(refused))('%j', (from, why) => {
    const read = readSender(from)
    expect('problem' in read && read.problem).toMatch(why)
    expect('problem' in read && read.problem).toMatch(/^must be one address, 'consents@example\.com' or /)
  })
})

test('any text is accepted exactly or refused: never as a shorter name, another mailbox or two', async () => {
  const piece = fc.constantFrom(
    'a',
    'Ex',
    ' ',
    ',',
    ':',
    ';',
    '(',
    ')',
    '<',
    '>',
    '@',
    '"',
    '\\',
    "'",
    '.',
    'b.test',
    'a@b',
    '<a@b>',
    'ä',
    '[',
    ']',
    '=?utf-8?Q?x?=',
    '\u200B',
  )
  await fc.assert(
    fc.asyncProperty(fc.array(piece, { maxLength: 9 }), fc.boolean(), async (pieces, tail) => {
      const from = `${pieces.join('')}${tail ? ' <consents@example.com>' : ''}`
      const read = readSender(from)
      if ('problem' in read) return
      const { name, address } = read.sender
      const shown = name === '' ? '' : name.replaceAll(/[\\"]/g, '\\$&')
      expect(
        [
          `${name}<${address}>`,
          `"${shown}"<${address}>`,
          `"${shown}" <${address}>`,
          `${name} <${address}>`,
          address,
        ].some((one) => one.replaceAll(/\s+/g, '') === from.replaceAll(/\s+/g, '')),
      ).toBe(true)
      const { read: received } = await asReceived(read.sender)
      expect(
        received?.map((one) => ({ name: one.name.replaceAll(/\s+/g, ' '), address: inAscii(one.address ?? '') })),
      ).toEqual([{ name: name.replaceAll(/\s+/g, ' '), address: inAscii(address) }])
    }),
    { numRuns: 1000 },
  )
})

describe('a recipient', () => {
  const good = [
    'zoe@mail.test',
    'x@y',
    'a+b@c.test',
    "o'brien@mail.test",
    'zoe@münchen.test',
    'zażółć@mail.test',
    '用户@例え.jp',
    'a..b@docomo.test',
    'A_B%c@mail.test',
  ]
  test.each(good)('%s is one mailbox', (address) => expect(mailboxProblem(address)).toBeUndefined())
  const bad = [
    'x@y, z@w',
    'x@y,z@w',
    'x@y;z@w',
    'x@y z@w',
    'Zoe <x@y>',
    'Zoe, Q <x@y>',
    '"x, y"@z',
    'x@y>',
    'x@y\r\nRCPT TO:<z@w>',
    'x@y@z',
    'x',
    'x@',
    '@y',
    'x@y..z',
    'x@[1.2.3.4]',
    'x@1.2.3.4',
    'x\u200B@y',
    'x@y\u202E',
    ' x@y',
    'group:x@y;',
    'mailto:x@y',
    '=?utf-8?q?x=40y=2Ctest?=@z',
    'x(comment)@y',
  ]
  test.each(bad)('%j is none', (address) => expect(mailboxProblem(address)).toMatch(/^(?:has|holds) /))

  test('needs SMTPUTF8 for its local part alone', () => {
    expect(['zoe@mail.test', 'zoe@münchen.test', 'zażółć@mail.test', 'żółć@münchen.test'].map(needsSmtpUtf8)).toEqual([
      false,
      false,
      true,
      true,
    ])
  })
})

test('the configuration has the same verdict', async () => {
  const problemOf = async (from: string): Promise<string | undefined> =>
    loadConfig({
      env: { ...soundEnv, MAIL_FROM: from },
      cwd: '/nowhere',
      needs: ['channels'],
      policy: { company: { name: 'Brightside' } },
    }).then(
      () => undefined,
      (error: unknown) => String((error as Error).message),
    )
  for (const from of Object.keys(accepted)) expect([from, await problemOf(from)]).toEqual([from, undefined])
  for (const from of Object.keys(refused))
    expect([from, await problemOf(from)]).toEqual([from, expect.stringContaining('MAIL_FROM')])
})
