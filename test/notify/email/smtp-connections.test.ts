// How connections to the mail server are kept: that messages share them, and that no message is lost, tried or sent
// twice because the server has ended one meanwhile. A real server, and a scripted one for what a real one rarely does.
import type { AddressInfo, Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'
import { afterEach, describe, expect, test } from 'vitest'
import { type Mail, smtpChannel } from '../../../src/notify/email/smtp-channel.ts'
import type { Keeping } from '../../../src/notify/email/smtp-connections.ts'
import type { Delivery } from '../../../src/notify/port.ts'
import { Secret } from '../../../src/secret.ts'
import { scriptedSmtp, type Script, type ScriptedSmtp, type Step } from './scripted-smtp.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const mail = (n: number): Mail => ({
  to: `zoe-${n}@mail.test`,
  messageId: `n-${n}@reconsent.test`,
  subject: 'Acme',
  text: 'https://acme.test/r/abcdef\n',
  html: '<p>https://acme.test/r/abcdef</p>',
  locale: 'en',
})

/** A channel that sends one message after another, and notes how often each was begun. */
const channelTo = (port: number, { keeping, login = '' }: { keeping?: Partial<Keeping>; login?: string } = {}) => {
  const channel = smtpChannel(
    {
      smtpUrl: new Secret(`smtp://${login}127.0.0.1:${port}`),
      from: 'noreply@acme.test',
      timeouts: { connectMs: 15_000, silenceMs: 60_000, totalMs: 120_000 },
    },
    { idleMs: 60_000, messages: 100, ...keeping },
  )
  cleanups.push(() => channel.close())
  let sent = 0
  const begun: string[] = []
  return {
    begun,
    close: () => channel.close(),
    send: async (begin: () => Promise<boolean> = async () => true): Promise<Delivery> => {
      const message = mail((sent += 1))
      return channel.send(message, {
        begin: async () => {
          begun.push(message.to)
          return begin()
        },
        left: () => undefined,
      })
    },
  }
}

const scripted = async (script: Script = {}) => {
  const server = await scriptedSmtp(script)
  cleanups.push(() => server.close())
  return server
}

/** A real server, which wants a login, and notes its connections, logins, and the recipients of what it has taken. */
const realServer = async () => {
  const sockets = new Set<Socket>()
  const taken: string[] = []
  const counts = { connections: 0, most: 0, logins: 0 }
  const server = new SMTPServer({
    disabledCommands: ['STARTTLS'],
    allowInsecureAuth: true,
    disableReverseLookup: true,
    closeTimeout: 100,
    onAuth: (_auth, _session, done) => {
      counts.logins += 1
      done(null, { user: 'u' })
    },
    onData: (stream, { envelope }, done) => {
      void buffer(stream).then(() => {
        taken.push(...envelope.rcptTo.map(({ address }) => address))
        done()
      })
    },
  })
  server.on('error', () => undefined)
  server.server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    counts.connections += 1
    counts.most = Math.max(counts.most, sockets.size)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => new Promise<void>((resolve) => server.close(resolve)))
  return { port: (server.server.address() as AddressInfo).port, sockets, taken, counts }
}
const login = 'user:word@'
const SENT: Delivery = { kind: 'sent' }

const timesOf = ({ commands }: Pick<ScriptedSmtp, 'commands'>, step: Step): number =>
  commands.filter((line) => line.startsWith(step)).length

describe('a connection is kept', () => {
  test('messages one after another go by one connection, with one login', async () => {
    const server = await realServer()
    const channel = channelTo(server.port, { login })
    // Node warns of a connection that collects listeners.
    const warnings: Error[] = []
    const note = (warning: Error) => void warnings.push(warning)
    process.on('warning', note)
    cleanups.push(() => process.off('warning', note))
    for (let n = 0; n < 12; n += 1) expect(await channel.send()).toEqual(SENT)
    expect(server.taken).toEqual(Array.from({ length: 12 }, (_, n) => `zoe-${n + 1}@mail.test`))
    expect(server.counts).toEqual({ connections: 1, most: 1, logins: 1 })
    expect(warnings).toEqual([])
  })

  test('twenty at once have a connection each, and so have the next twenty, without a new one', async () => {
    const server = await realServer()
    const channel = channelTo(server.port, { login })
    const rush = async () => Promise.all(Array.from({ length: 20 }, async () => channel.send()))
    expect(await rush()).toEqual(Array.from({ length: 20 }, () => SENT))
    expect(server.counts.most).toBeLessThanOrEqual(20)
    await turn()
    const { connections } = server.counts
    expect(await rush()).toEqual(Array.from({ length: 20 }, () => SENT))
    expect(server.counts.connections).toBe(connections)
    expect(new Set(server.taken).size).toBe(40)
  })

  test('for so many messages, then it is ended politely', async () => {
    const server = await scripted()
    const channel = channelTo(server.port, { keeping: { messages: 2 } })
    for (let n = 0; n < 5; n += 1) expect(await channel.send()).toEqual(SENT)
    expect(server.connections().made).toBe(3)
    expect(timesOf(server, 'QUIT')).toBe(2)
  })

  test('for so long, then it is ended politely', async () => {
    const server = await scripted()
    const channel = channelTo(server.port, { keeping: { idleMs: 50 } })
    expect(await channel.send()).toEqual(SENT)
    await server.reached('QUIT')
    await server.empty()
    expect(await channel.send()).toEqual(SENT)
    expect(server.connections().made).toBe(2)
  })

  test('until the channel is closed: it says QUIT, and waits for no answer', async () => {
    const server = await scripted({ QUIT: 'silence' })
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    await turn()
    channel.close()
    await server.reached('QUIT')
    await server.empty()
    // A job that was abandoned may still send: its connection is not kept.
    expect(await channel.send()).toEqual(SENT)
    await server.empty()
    expect(timesOf(server, 'QUIT')).toBe(2)
  })
})

describe.each([[[]], [['PIPELINING']]])('with %j, the server has ended a kept connection', (extensions) => {
  test.each(['end', 'reset', '421'] as const)('while it rested (%s): the next message has another', async (how) => {
    const server = await scripted({ extensions })
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    server.hangUp(how)
    // At once, when our side does not know it yet; and when it does.
    expect(await channel.send()).toEqual(SENT)
    server.hangUp(how)
    await server.empty()
    await wait(10)
    expect(await channel.send()).toEqual(SENT)
    expect(server.connections().made).toBe(3)
    expect(server.bodies).toHaveLength(3)
    expect(channel.begun).toEqual([1, 2, 3].map((n) => `zoe-${n}@mail.test`))
  })

  test.each([
    ['MAIL', 'cut'],
    ['RCPT', 'cut'],
    ['DATA', 'cut'],
    ['MAIL', '421 too many messages'],
    ['RCPT', '421 too many messages'],
    ['DATA', '421 too many messages'],
    ['MAIL', '451 4.7.0 too many messages in this connection'],
    ['MAIL', '503 5.5.1 nested MAIL'],
  ] as const)('at %s of the next message (%s): it is begun once, and sent once', async (step, reply) => {
    const server = await scripted({ extensions })
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    await turn()
    server.next({ [step]: reply })
    expect(await channel.send()).toEqual(SENT)
    expect(server.connections().made).toBe(2)
    expect([server.bodies.length, channel.begun.length]).toEqual([2, 2])
  })

  test('at each connection: unavailable, after one more, and never begun', async () => {
    const server = await scripted({ extensions })
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    await turn()
    server.next({ RCPT: 'cut', greeting: 'cut' })
    expect(await channel.send()).toMatchObject({ kind: 'unavailable', cause: 'outage' })
    expect([server.connections().made, server.bodies.length, channel.begun.length]).toEqual([2, 1, 1])
  })

  test('a server that refuses us at every MAIL: no connection is kept', async () => {
    const server = await scripted({ extensions, MAIL: '550 5.7.1 not you' })
    const channel = channelTo(server.port)
    for (let n = 0; n < 3; n += 1) expect(await channel.send()).toMatchObject({ kind: 'unavailable', cause: 'setup' })
    await server.empty()
    expect([server.connections().made, channel.begun.length]).toEqual([3, 0])
  })

  test('a new connection that is cut has no second chance', async () => {
    const server = await scripted({ extensions, RCPT: 'cut' })
    expect(await channelTo(server.port).send()).toMatchObject({ kind: 'unavailable', cause: 'outage' })
    expect(server.connections().made).toBe(1)
  })

  test('while the intent is being committed: the answer waits for it, and there is no other connection', async () => {
    const server = await scripted({ extensions })
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    await turn()
    const committed = Promise.withResolvers<boolean>()
    const second = channel.send(async () => committed.promise)
    await expect.poll(() => channel.begun.length).toBe(2)
    server.hangUp('reset')
    await server.empty()
    await wait(10)
    committed.resolve(true)
    expect(await second).toMatchObject({ kind: 'unavailable', cause: 'outage' })
    expect([server.connections().made, server.bodies.length, channel.begun.length]).toEqual([1, 1, 2])
  })

  test('after the last byte: uncertain, and there is no other connection', async () => {
    const server = await scripted({ extensions })
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    await turn()
    server.next({ dot: 'cut' })
    expect(await channel.send()).toMatchObject({ kind: 'uncertain' })
    expect([server.connections().made, server.bodies.length, channel.begun.length]).toEqual([1, 2, 2])
  })

  test('and the channel was closed meanwhile: there is no other connection', async () => {
    const server = await scripted({ extensions })
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    await turn()
    server.next({ MAIL: 'silence' })
    const second = channel.send()
    await expect.poll(() => timesOf(server, 'MAIL')).toBe(2)
    channel.close()
    expect(await second).toMatchObject({ kind: 'unavailable' })
    expect(server.connections().made).toBe(1)
  })
})

describe.each([[[]], [['PIPELINING']]])('with %j, after a refusal', (extensions) => {
  test.each([
    ['RCPT', '451 4.7.1 later', { kind: 'deferred' }],
    ['RCPT', '550 5.1.1 unknown', { kind: 'refused' }],
    ['DATA', '554 no', { kind: 'refused' }],
    ['dot', '451 4.7.1 later', { kind: 'deferred' }],
    ['dot', '554 5.7.1 spam', { kind: 'refused' }],
  ] as const)('at %s (%s) the connection is kept, and its next message goes through', async (step, reply, outcome) => {
    const server = await scripted({ extensions })
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    await turn()
    server.next({ [step]: reply })
    expect(await channel.send()).toMatchObject(outcome)
    await server.reached('RSET')
    await wait(10)
    expect(await channel.send()).toEqual(SENT)
    expect(server.connections().made).toBe(1)
  })

  test.each(['cut', 'silence', '502 what?'] as const)('an answer %s to RSET ends the connection', async (RSET) => {
    const server = await scripted({ extensions, RSET })
    server.next({ RCPT: '550 5.1.1 unknown' })
    const channel = channelTo(server.port, { keeping: { idleMs: 50 } })
    expect(await channel.send()).toMatchObject({ kind: 'refused' })
    await server.reached('RSET')
    expect(await channel.send()).toEqual(SENT)
    expect(server.connections().made).toBe(2)
  })
})

describe('a connection is not kept', () => {
  const odd: Record<string, Parameters<ScriptedSmtp['next']>[0]> = {
    'gibberish after the message': { dot: 'what?' },
    'a 354 after the message': { dot: '354 and then?' },
    'a word too many after the message': { dot: '250 queued\r\n250 queued' },
    'a 421 after the message': { dot: '421 closing' },
    'a word too many while the intent is committed': { DATA: '354 go on\r\n451 4.7.1 too slow' },
    'an answer to a message that it was not given': { DATA: '354 go on\r\n250 queued' },
    'no answer': { dot: 'cut' },
  }
  test.each(Object.entries(odd))('after %s', async (_, script) => {
    const server = await scripted()
    server.next(script)
    const channel = channelTo(server.port)
    await channel.send(async () => wait(20, true))
    await wait(10)
    const before = server.bodies.length
    expect(await channel.send()).toEqual(SENT)
    expect([server.connections().made, server.bodies.length]).toEqual([2, before + 1])
  })

  const unbegun: Record<string, () => Promise<boolean>> = {
    'is told not to begin': async () => false,
    'cannot commit the intent': async () => Promise.reject(new Error('the database is away')),
  }
  test.each(Object.entries(unbegun))('when the channel %s: the server waits for the message', async (_, begin) => {
    const server = await scripted()
    const channel = channelTo(server.port)
    expect(await channel.send()).toEqual(SENT)
    await turn()
    await channel.send(begin).catch(() => undefined)
    expect(await channel.send()).toEqual(SENT)
    expect([server.connections().made, server.bodies.length]).toEqual([2, 2])
  })
})
