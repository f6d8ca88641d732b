// The channel against mail servers on loopback: a real one for the messages that arrive, a scripted one for every way
// in which a dialogue can end.
import { createServer, type AddressInfo } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { simpleParser, type ParsedMail } from 'mailparser'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterEach, describe, expect, test } from 'vitest'
import { type Mail, type SmtpChannel, smtpChannel } from '../../../src/notify/email/smtp-channel.ts'
import type { ChannelTimeouts, Delivery } from '../../../src/notify/port.ts'
import { Secret } from '../../../src/secret.ts'
import { atOnce } from '../../setup/handovers.ts'
import { scriptedSmtp, type Script, type ScriptedSmtp } from './scripted-smtp.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const aMessage = (over: Partial<Mail> = {}): Mail => ({
  to: 'zoe.example@mail.test',
  messageId: 'n-42.cycle-3@reconsent.test',
  subject: 'Acme: Zgoda zażółć gęślą jaźń',
  text: 'Guten Tag Zoë,\n\nhttps://acme.test/r/abcdef\n',
  html: '<p>Guten Tag Zoë, <a href="https://acme.test/r/abcdef">weiter</a></p>',
  locale: 'de',
  ...over,
})

interface Options extends Partial<ChannelTimeouts> {
  readonly login?: string
  readonly query?: string
  readonly from?: string
}

const patient: ChannelTimeouts = { connectMs: 15_000, silenceMs: 60_000, totalMs: 120_000 }

const aChannel = (
  port: number,
  { login = '', query = '', from = 'Acme Ltd <noreply@acme.test>', ...timeouts }: Options = {},
): SmtpChannel & { send(message: Mail): Promise<Delivery> } => {
  const smtpUrl = new Secret(`smtp://${login}127.0.0.1:${port}${query}`)
  const channel = smtpChannel({ smtpUrl, from, timeouts: { ...patient, ...timeouts } })
  cleanups.push(() => channel.close())
  return { ...channel, send: async (message: Mail) => channel.send(message, atOnce) }
}

const scripted = async (script: Script): Promise<ScriptedSmtp> => {
  const server = await scriptedSmtp(script)
  cleanups.push(() => server.close())
  return server
}

const realServer = async (
  options: SMTPServerOptions,
): Promise<{ port: number; mails: ParsedMail[]; sources: string[] }> => {
  const mails: ParsedMail[] = []
  const sources: string[] = []
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData(stream, _session, callback) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        sources.push(Buffer.concat(chunks).toString())
        void simpleParser(Buffer.concat(chunks)).then((mail) => {
          mails.push(mail)
          callback()
        })
      })
    },
    ...options,
  })
  server.on('error', () => {})
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => new Promise<void>((resolve) => server.close(resolve)))
  return { port: (server.server.address() as AddressInfo).port, mails, sources }
}

describe('a message that is accepted', () => {
  test('arrives whole, with its fixed id and the headers that keep auto-responders quiet', async () => {
    const { port, mails, sources } = await realServer({})
    expect(await aChannel(port).send(aMessage())).toEqual({ kind: 'sent' })
    const [mail] = mails
    expect(mail?.messageId).toBe('<n-42.cycle-3@reconsent.test>')
    expect(mail?.subject).toBe('Acme: Zgoda zażółć gęślą jaźń')
    expect(mail?.from?.value).toEqual([{ name: 'Acme Ltd', address: 'noreply@acme.test' }])
    expect(mail?.to).toMatchObject({ value: [{ address: 'zoe.example@mail.test' }] })
    expect(mail?.headers.get('auto-submitted')).toBe('auto-generated')
    expect(mail?.headers.get('x-auto-response-suppress')).toBe('All')
    expect(mail?.headers.get('content-language')).toBe('de')
    expect(mail?.text).toContain('Guten Tag Zoë,\n\nhttps://acme.test/r/abcdef')
    expect(mail?.html).toContain('<a href="https://acme.test/r/abcdef">')
    expect(sources[0]).toMatch(/multipart\/alternative/)
  })

  test('sent again carries the same id, so that mail systems can drop the copy', async () => {
    const { port, mails } = await realServer({})
    const channel = aChannel(port)
    await channel.send(aMessage())
    await channel.send(aMessage())
    expect(new Set(mails.map((mail) => mail.messageId)).size).toBe(1)
  })

  test('goes through a login', async () => {
    const seen: unknown[] = []
    const { port } = await realServer({
      authOptional: false,
      onAuth(auth, _session, callback) {
        seen.push([auth.username, auth.password])
        callback(null, { user: 'u' })
      },
    })
    expect(await aChannel(port, { login: 'us%40er:p%25ss@' }).send(aMessage())).toEqual({ kind: 'sent' })
    expect(seen).toEqual([['us@er', 'p%ss']])
  })

  test('is sent even if the server never answers QUIT, and closing leaves nothing open', async () => {
    const server = await scripted({ QUIT: 'silence' })
    const channel = aChannel(server.port)
    expect(await channel.send(aMessage())).toEqual({ kind: 'sent' })
    await turn()
    channel.close()
    await server.reached('QUIT')
    await server.empty()
  })
})

const outcomes: Record<string, { script: Script; kind: string; detail: RegExp; login?: string }> = {
  'a greeting that never comes': { script: { greeting: 'silence' }, kind: 'unavailable', detail: /ETIMEDOUT/ },
  'a connection cut before the greeting': { script: { greeting: 'cut' }, kind: 'unavailable', detail: /ECONN|ESOCKET/ },
  'a 421 greeting': { script: { greeting: '421 too busy' }, kind: 'unavailable', detail: /^421/ },
  'a 554 greeting: it refuses us, not the message': {
    script: { greeting: '554 no service' },
    kind: 'unavailable',
    detail: /^554/,
  },
  'a 421 to EHLO': { script: { EHLO: '421 go away' }, kind: 'unavailable', detail: /^421/ },
  'a rejected login': {
    script: { extensions: ['AUTH PLAIN'], AUTH: '535 5.7.8 bad credentials for zoe.example@mail.test' },
    login: 'user:secret-word@',
    kind: 'unavailable',
    detail: /^535 5\.7\.8 to AUTH$/,
  },
  'a login cut off': {
    script: { extensions: ['AUTH PLAIN'], AUTH: 'cut' },
    login: 'user:secret-word@',
    kind: 'unavailable',
    detail: /before/,
  },
  'a 450 to MAIL': { script: { MAIL: '450 later' }, kind: 'unavailable', detail: /^450 to MAIL FROM$/ },
  'a 550 to MAIL: the sender is ours to fix': {
    script: { MAIL: '550 no such sender' },
    kind: 'unavailable',
    detail: /^550 to MAIL FROM$/,
  },
  'a 450 to RCPT (greylisting)': {
    script: { RCPT: '450 4.2.0 <zoe.example@mail.test> greylisted' },
    kind: 'deferred',
    detail: /^450 4\.2\.0 to RCPT TO$/,
  },
  'a 550 to RCPT': {
    script: { RCPT: '550 5.1.1 <zoe.example@mail.test> unknown' },
    kind: 'refused',
    detail: /^550 5\.1\.1 to RCPT TO$/,
  },
  'a 530 to RCPT: it wants a login': {
    script: { RCPT: '530 5.7.0 authenticate first' },
    kind: 'unavailable',
    detail: /^530/,
  },
  'a 421 to RCPT': { script: { RCPT: '421 closing' }, kind: 'unavailable', detail: /^421/ },
  'a connection cut at RCPT': { script: { RCPT: 'cut' }, kind: 'unavailable', detail: /before/ },
  'silence at RCPT': { script: { RCPT: 'silence' }, kind: 'unavailable', detail: /ETIMEDOUT/ },
  'a 451 to DATA': { script: { DATA: '451 later' }, kind: 'deferred', detail: /^451 to DATA$/ },
  'a 554 to DATA': { script: { DATA: '554 no' }, kind: 'refused', detail: /^554 to DATA$/ },
  'silence at DATA': { script: { DATA: 'silence' }, kind: 'unavailable', detail: /ETIMEDOUT/ },
  'a 451 to DATA that speaks of this message': {
    script: { DATA: '451 4.7.1 later' },
    kind: 'deferred',
    detail: /^451 4\.7\.1 to DATA$/,
  },
  'a 452 to RCPT: this mailbox is full': {
    script: { RCPT: '452 4.2.2 <zoe.example@mail.test> over quota' },
    kind: 'deferred',
    detail: /^452 4\.2\.2/,
  },
  'a 451 4.3.0 to RCPT: its tables cannot be read': {
    script: { RCPT: '451 4.3.0 <zoe.example@mail.test>: Temporary lookup failure' },
    kind: 'unavailable',
    detail: /^451 4\.3\.0 to RCPT TO$/,
  },
  'a 452 4.3.1 to MAIL: its disk is full': {
    script: { MAIL: '452 4.3.1 Insufficient system storage' },
    kind: 'unavailable',
    detail: /^452 4\.3\.1/,
  },
  'a 454 to RCPT: we send too much': {
    script: { RCPT: '454 Throttling failure' },
    kind: 'unavailable',
    detail: /^454/,
  },
  'a 451 after the message, of this message': {
    script: { dot: '451 4.7.1 try again later' },
    kind: 'deferred',
    detail: /^451 4\.7\.1 to the message$/,
  },
  'a 451 after the message: its disk is full': {
    script: { dot: '451 4.3.0 disk full' },
    kind: 'unavailable',
    detail: /^451 4\.3\.0 to the message$/,
  },
  'a 421 after the message': { script: { dot: '421 closing' }, kind: 'unavailable', detail: /^421/ },
  'a 554 after the message': {
    script: { dot: '554 5.7.1 spam from zoe.example@mail.test' },
    kind: 'refused',
    detail: /^554 5\.7\.1 to the message$/,
  },
  'a 503 after the message: the session was confused': {
    script: { dot: '503 bad sequence' },
    kind: 'unavailable',
    detail: /^503/,
  },
  'a connection cut after the message': { script: { dot: 'cut' }, kind: 'uncertain', detail: /ECONN|ESOCKET/ },
  'silence after the message': { script: { dot: 'silence' }, kind: 'uncertain', detail: /ETIMEDOUT/ },
  'gibberish after the message': { script: { dot: 'what?' }, kind: 'uncertain', detail: /EMESSAGE/ },
  'a 354 after the message': { script: { dot: '354 and then?' }, kind: 'uncertain', detail: /EMESSAGE/ },
}

// Time-outs are short only where the script has a silence: elsewhere a busy machine must not look like a silent server.
const timeoutsFor = (script: Script) =>
  Object.values(script).includes('silence') ? { silenceMs: 400, connectMs: 400 } : {}

for (const pipelining of [false, true]) {
  describe(`what becomes of a message${pipelining ? ', with pipelining' : ''}`, () => {
    for (const [name, { script, kind, detail, login }] of Object.entries(outcomes)) {
      test(`${name}: ${kind}`, async () => {
        const extensions = [...(script.extensions ?? []), ...(pipelining ? ['PIPELINING'] : [])]
        const server = await scripted({ ...script, extensions })
        const delivery = await aChannel(server.port, { login: login ?? '', ...timeoutsFor(script) }).send(aMessage())
        expect(delivery).toMatchObject({ kind, code: `message-${kind}`, detail: expect.stringMatching(detail) })
        expect(JSON.stringify(delivery)).not.toMatch(/zoe|mail\.test|acme|secret-word|abcdef/)
      })
    }
  })
}

describe('extensions that a server offers, and does not offer', () => {
  const utf8 = { to: 'zażółć@mail.test' }

  test('a SIZE below the message: reported clearly, before the sender is named or the body is sent', async () => {
    const server = await scripted({ extensions: ['SIZE 700'] })
    const channel = aChannel(server.port)
    const delivery = await channel.send(aMessage())
    expect(delivery).toMatchObject({
      kind: 'refused',
      code: 'message-too-large',
      detail: expect.stringMatching(/^the message has \d+ bytes, the server takes at most 700 \(SIZE\)$/),
    })
    expect([server.commands.filter((line) => /^(MAIL|RCPT|DATA)/.test(line)), server.bodies]).toEqual([[], []])
    await turn()
    channel.close()
    await server.reached('QUIT')
  })

  test.each(['SIZE', 'SIZE 0', 'SIZE 100000'])('%s: sent, its size declared', async (size) => {
    const server = await scripted({ extensions: [size] })
    expect(await aChannel(server.port).send(aMessage())).toEqual({ kind: 'sent' })
    expect(server.commands.find((line) => line.startsWith('MAIL'))).toMatch(/ SIZE=\d+$/)
  })

  test.each([
    ['MAIL', '552 5.3.4 too big'],
    ['MAIL', '552 size'],
    ['DATA', '552 5.3.4 too big'],
    ['dot', '552 5.3.4 too big'],
    ['dot', '552 message size exceeds the maximum'],
  ] as const)('a size that is refused at %s with %s: the same code', async (step, reply) => {
    const server = await scripted({ [step]: reply })
    expect(await aChannel(server.port).send(aMessage())).toMatchObject({ kind: 'refused', code: 'message-too-large' })
  })

  test('an address beyond ASCII and no SMTPUTF8: no-channel, without a word of it to the server', async () => {
    const server = await scripted({ extensions: ['8BITMIME', 'PIPELINING'] })
    const delivery = await aChannel(server.port).send(aMessage(utf8))
    expect(delivery).toEqual({ kind: 'no-channel', code: 'no-channel', detail: expect.stringContaining('SMTPUTF8') })
    expect(server.commands.join()).not.toMatch(/MAIL|RCPT/)
  })

  test.each([[['SMTPUTF8', '8BITMIME']], [['SMTPUTF8', '8BITMIME', 'PIPELINING']]])(
    'with %j it is sent as it is',
    async (extensions) => {
      const server = await scripted({ extensions })
      expect(await aChannel(server.port).send(aMessage(utf8))).toEqual({ kind: 'sent' })
      const heard = server.commands.map((line) => Buffer.from(line, 'latin1').toString())
      expect(heard.find((line) => line.startsWith('MAIL'))).toBe('MAIL FROM:<noreply@acme.test> SMTPUTF8')
      expect(heard.find((line) => line.startsWith('RCPT'))).toBe('RCPT TO:<zażółć@mail.test>')
      expect(Buffer.from(server.bodies[0] ?? '', 'latin1').toString()).toMatch(/^To: zażółć@mail\.test\r$/m)
    },
  )

  test('SMTPUTF8 that is offered and withdrawn for this address: no-channel', async () => {
    const server = await scripted({ extensions: ['SMTPUTF8'], RCPT: '553 5.6.7 not for this one' })
    expect(await aChannel(server.port).send(aMessage(utf8))).toMatchObject({
      kind: 'no-channel',
      code: 'no-channel',
      detail: '553 5.6.7 to RCPT TO',
    })
  })

  test.each(['555 5.5.4 Unsupported option: SMTPUTF8', '555 what is that?', '501 5.5.4 bad parameter', '550 5.6.7 no'])(
    'SMTPUTF8 that is offered and refused at MAIL, %s: no-channel, where the recipient alone needs it',
    async (MAIL) => {
      const send = async (from: string, to: object) =>
        aChannel((await scripted({ extensions: ['SMTPUTF8'], MAIL })).port, { from }).send(aMessage(to))
      expect(await send('Acme <noreply@acme.test>', utf8)).toMatchObject({
        kind: 'no-channel',
        detail: expect.stringMatching(/to MAIL FROM$/),
      })
      expect(await send('Acme <żółw@acme.test>', utf8)).toMatchObject({ kind: 'unavailable', cause: 'setup' })
      expect(await send('Acme <noreply@acme.test>', {})).toMatchObject({ kind: 'unavailable', cause: 'setup' })
    },
  )

  test('an address whose domain alone is international does not need SMTPUTF8', async () => {
    const server = await scripted({})
    expect(await aChannel(server.port).send(aMessage({ to: 'zoe@münchen.test' }))).toEqual({ kind: 'sent' })
    expect(server.commands.find((line) => line.startsWith('RCPT'))).toBe('RCPT TO:<zoe@xn--mnchen-3ya.test>')
  })

  test('a sender beyond ASCII and no SMTPUTF8: our mistake, no message fails for it, check reports it', async () => {
    const server = await scripted({})
    const channel = aChannel(server.port, { from: 'Acme <żółw@acme.test>' })
    expect(await channel.send(aMessage())).toMatchObject({
      kind: 'unavailable',
      cause: 'setup',
      detail: expect.stringContaining('MAIL_FROM'),
    })
    expect(await channel.check()).toMatchObject({ ok: false, detail: expect.stringContaining('SMTPUTF8') })
    const modern = await scripted({ extensions: ['SMTPUTF8'] })
    expect(await aChannel(modern.port, { from: 'Acme <żółw@acme.test>' }).check()).toMatchObject({ ok: true })
  })

  test('no 8BITMIME: what is sent is ASCII throughout', async () => {
    const server = await scripted({})
    expect(
      await aChannel(server.port).send(
        aMessage({ subject: 'Zażółć 銀行 🏦', text: 'gęślą jaźń\n', html: '<p>銀行</p>' }),
      ),
    ).toEqual({ kind: 'sent' })
    // ASCII alone: control characters, such as the line ends, are part of it.
    // oxlint-disable-next-line no-control-regex
    expect(server.bodies[0]).toMatch(/^[\x00-\x7f]*$/)
    expect(server.commands.find((line) => line.startsWith('MAIL'))).toBe('MAIL FROM:<noreply@acme.test>')
  })

  test.each(['500 what?', '502 not implemented', '550 no'])('EHLO refused with %s: HELO', async (EHLO) => {
    const server = await scripted({ EHLO })
    const channel = aChannel(server.port)
    expect(await channel.send(aMessage())).toEqual({ kind: 'sent' })
    expect(await channel.send(aMessage(utf8))).toMatchObject({ kind: 'no-channel' })
    await turn()
    channel.close()
    await server.reached('QUIT')
    expect(server.commands.map((line) => line.slice(0, 4))).toEqual(['EHLO', 'HELO', 'MAIL', 'RCPT', 'DATA', 'QUIT'])
  })

  test('EHLO and HELO refused: unavailable, and our mistake', async () => {
    const server = await scripted({ EHLO: '502 no', HELO: '550 who are you' })
    expect(await aChannel(server.port).send(aMessage())).toMatchObject({ kind: 'unavailable', cause: 'setup' })
  })

  test.each([false, true])('replies about the sender: the message waits (pipelining %s)', async (pipelining) => {
    const extensions = pipelining ? ['PIPELINING'] : []
    const verdictOf = async (script: Script) => {
      const server = await scripted({ ...script, extensions })
      const delivery = await aChannel(server.port).send(aMessage())
      return [delivery.kind, 'cause' in delivery && delivery.cause]
    }
    expect(await verdictOf({ dot: '550-5.4.5 Daily user sending limit exceeded.\r\n550 5.4.5 a1-2 - gsmtp' })).toEqual([
      'unavailable',
      'limit',
    ])
    expect(await verdictOf({ RCPT: '550 5.4.5 Daily sending quota exceeded' })).toEqual(['unavailable', 'limit'])
    expect(await verdictOf({ RCPT: '554 5.7.1 <zoe.example@mail.test>: Relay access denied' })).toEqual([
      'unavailable',
      'setup',
    ])
    expect(
      await verdictOf({
        dot: '550-5.7.26 This mail has been blocked because the sender is unauthenticated.\r\n550 5.7.26 gsmtp',
      }),
    ).toEqual(['unavailable', 'setup'])
    expect(await verdictOf({ MAIL: '550 5.7.60 not allowed to send as' })).toEqual(['unavailable', 'setup'])
    expect(await verdictOf({ RCPT: '552 5.2.2 mailbox full' })).toEqual(['refused', false])
  })

  test.each(['"Acme, Ltd" <noreply@acme.test>', '"Acme: Consents" <noreply@acme.test>', 'Größe <noreply@acme.test>'])(
    'the sender %s arrives as it was written',
    async (from) => {
      const { port, mails } = await realServer({})
      expect(await aChannel(port, { from }).send(aMessage())).toEqual({ kind: 'sent' })
      expect(mails[0]?.from?.value).toEqual([
        { name: /^"?([^"<]*?)"? </.exec(from)?.[1], address: 'noreply@acme.test' },
      ])
    },
  )
})

describe('a server that is unavailable', () => {
  test('a refused connection: unavailable', async () => {
    const placeholder = createServer()
    await new Promise<void>((resolve) => placeholder.listen(0, '127.0.0.1', resolve))
    const { port } = placeholder.address() as AddressInfo
    await new Promise((resolve) => placeholder.close(resolve))
    expect(await aChannel(port).send(aMessage())).toMatchObject({
      kind: 'unavailable',
      detail: expect.stringContaining('ECONNREFUSED'),
    })
  })

  test('a name that does not resolve: unavailable', async () => {
    const channel = smtpChannel({
      smtpUrl: new Secret('smtp://no-such-host.invalid:25'),
      from: 'a@b.test',
      timeouts: { ...patient, connectMs: 2_000 },
    })
    const delivery = await channel.send(aMessage(), atOnce)
    expect(delivery).toMatchObject({
      kind: 'unavailable',
      detail: expect.stringContaining('before the message was handed over'),
    })
    expect(JSON.stringify(delivery)).not.toContain('no-such-host')
  })

  test('a certificate that no authority vouches for: unavailable', async () => {
    const { port, mails } = await realServer({ disabledCommands: [] })
    expect(await aChannel(port).send(aMessage())).toMatchObject({ kind: 'unavailable', code: 'message-unavailable' })
    expect(await aChannel(port, { query: '?tls.rejectUnauthorized=false' }).send(aMessage())).toEqual({ kind: 'sent' })
    expect(mails).toHaveLength(1)
  })

  test('a server without STARTTLS gets nothing when TLS is required', async () => {
    const server = await scripted({ extensions: ['AUTH PLAIN'] })
    const delivery = await aChannel(server.port, {
      login: 'user:secret-word@',
      query: '?requireTLS=true',
      silenceMs: 400,
      connectMs: 400,
    }).send(aMessage())
    expect(delivery.kind).toBe('unavailable')
    expect(server.commands.join()).not.toMatch(/AUTH|MAIL/)
  })
})

describe('time and closing', () => {
  test('a server that keeps answering slowly is given up after the total time, by what was handed over', async () => {
    const server = await scripted({ dot: '250-and\r\n250-so\r\n250-on' })
    expect(await aChannel(server.port, { totalMs: 500 }).send(aMessage())).toMatchObject({
      kind: 'uncertain',
      detail: expect.stringContaining('ETIMEDOUT'),
    })
    const early = await scripted({ MAIL: '250-and\r\n250-so\r\n250-on' })
    expect(await aChannel(early.port, { totalMs: 500 }).send(aMessage())).toMatchObject({ kind: 'unavailable' })
  })

  test('closing the channel ends a message in flight with its true outcome', async () => {
    const before = await scripted({ RCPT: 'silence' })
    const early = aChannel(before.port)
    const sending = early.send(aMessage())
    await before.reached('RCPT')
    early.close()
    expect(await sending).toMatchObject({ kind: 'unavailable' })

    const after = await scripted({ dot: 'silence' })
    const late = aChannel(after.port)
    const sent = late.send(aMessage())
    await after.reached('dot')
    late.close()
    expect(await sent).toMatchObject({ kind: 'uncertain' })
  })
})

describe('a message that must not be sent', () => {
  const bad: Record<string, Partial<Mail>> = {
    'a line break in the address': { to: 'zoe@mail.test\r\nBcc: all@mail.test' },
    'a second address': { to: 'zoe@mail.test, eve@mail.test' },
    'an address in brackets': { to: 'Zoe <zoe@mail.test>' },
    'no address at all': { to: 'nobody' },
    'a NUL in the address': { to: 'zoe\u0000@mail.test' },
    'a line break in the subject': { subject: 'Hello\r\nBcc: all@mail.test' },
    'a bare newline in the subject': { subject: 'Hello\nX: y' },
    'a Unicode line separator in the subject': { subject: 'Hello\u2028X: y' },
    'a line break in the message id': { messageId: 'a@b\r\nBcc: x@y' },
    'a line break in the locale': { locale: 'de\r\nBcc: x@y' },
  }
  for (const [name, over] of Object.entries(bad)) {
    test(`${name} is refused, without a word to the server`, async () => {
      const server = await scripted({})
      const delivery = await aChannel(server.port).send(aMessage(over))
      expect(delivery).toMatchObject({ kind: 'refused', code: 'message-refused' })
      expect(JSON.stringify(delivery)).not.toMatch(/zoe|eve|all@/i)
      expect(server.commands).toEqual([])
    })
  }

  test('an international address is accepted', async () => {
    const { port, sources } = await realServer({})
    expect(await aChannel(port).send(aMessage({ to: 'zoe@münchen.test' }))).toEqual({ kind: 'sent' })
    expect(sources[0]).toMatch(/^To: zoe@xn--mnchen-3ya\.test\r$/m)
  })
})

describe('check', () => {
  test('says that the login works', async () => {
    const { port } = await realServer({ onAuth: (_auth, _session, callback) => callback(null, { user: 'u' }) })
    expect(await aChannel(port, { login: 'user:word@' }).check()).toEqual({
      ok: true,
      detail: 'the mail server accepts our login, without encryption',
    })
    expect(await aChannel(port).check()).toEqual({
      ok: true,
      detail: 'the mail server answers, without encryption, no login configured',
    })
  })

  test('reports what does not work', async () => {
    const { port } = await realServer({ onAuth: (_auth, _session, callback) => callback(new Error('no')) })
    const rejected = await aChannel(port, { login: 'user:secret-word@' }).check()
    expect(rejected).toMatchObject({ ok: false, detail: expect.stringMatching(/^535.* to AUTH$/) })
    const none = await scripted({})
    expect(await aChannel(none.port, { login: 'user:secret-word@' }).check()).toMatchObject({
      ok: false,
      detail: expect.stringContaining('offers none'),
    })
  })
})

describe('configuration', () => {
  const url = (text: string) => () => smtpChannel({ smtpUrl: new Secret(text), from: 'a@b.test', timeouts: patient })
  test('a malformed SMTP_URL is named without being shown', () => {
    for (const bad of [
      'secret-word',
      'http://secret-word@h',
      'smtp://user@h',
      'smtp://u:secret-word@h/path?x=1&ignoreTLS=perhaps',
      'smtp://u:100%@h',
    ]) {
      expect(url(bad)).toThrow(/^SMTP_URL/)
      expect(url(bad)).not.toThrow(/secret-word/)
    }
  })

  test('all problems are reported at once', () => {
    expect(url('smtp://u:p@h/path?x=1&ignoreTLS=perhaps')).toThrow(
      /an option is unknown.*ignoreTLS must be.*nothing between/,
    )
  })

  test('a sender must be one address', () => {
    for (const from of [
      '',
      'nobody',
      'a@b.test, c@d.test',
      'A <a@b.test>\r\nBcc: x@y',
      'Example: Consents <a@b.test>',
    ]) {
      expect(() => smtpChannel({ smtpUrl: new Secret('smtp://h'), from, timeouts: patient })).toThrow(/^MAIL_FROM/)
    }
  })
})
