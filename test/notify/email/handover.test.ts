// When the channel asks to begin, and what has left by then: against a real mail server, and a scripted one for every
// step at which a worker can die or be told to stop.
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { setTimeout as wait } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'
import { afterEach, describe, expect, test } from 'vitest'
import { type Mail, type SmtpChannel, smtpChannel } from '../../../src/notify/email/smtp-channel.ts'
import type { ChannelTimeouts, Handover } from '../../../src/notify/port.ts'
import { Secret } from '../../../src/secret.ts'
import { scriptedSmtp, type Script } from './scripted-smtp.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const mail: Mail = {
  to: 'zoe@mail.test',
  messageId: 'n-1@reconsent.test',
  subject: 'Acme',
  text: 'https://acme.test/r/abcdef\n',
  html: '<p>https://acme.test/r/abcdef</p>',
  locale: 'en',
}
const patient: ChannelTimeouts = { connectMs: 15_000, silenceMs: 60_000, totalMs: 120_000 }
const channelTo = (port: number, timeouts: Partial<ChannelTimeouts> = {}): SmtpChannel => {
  const channel = smtpChannel({
    smtpUrl: new Secret(`smtp://127.0.0.1:${port}`),
    from: 'noreply@acme.test',
    timeouts: { ...patient, ...timeouts },
  })
  cleanups.push(() => channel.close())
  return channel
}
const scripted = async (script: Script = {}) => {
  const server = await scriptedSmtp(script)
  cleanups.push(() => server.close())
  return server
}

/** A real server; `ended` says how its one message ended. */
const realServer = async () => {
  const ended = Promise.withResolvers<'kept' | 'discarded'>()
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onData: (stream, _session, done) => {
      void buffer(stream).then(
        () => {
          ended.resolve('kept')
          done()
        },
        () => ended.resolve('discarded'),
      )
    },
  })
  server.on('error', () => undefined)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => new Promise<void>((resolve) => server.close(resolve)))
  return { port: (server.server.address() as AddressInfo).port, ended: ended.promise }
}

/** Notes what was asked; `answers` says what becomes of the question. */
const noting = (answers: () => Promise<boolean>): Handover & { readonly noted: string[] } => {
  const noted: string[] = []
  return {
    noted,
    begin: async () => {
      noted.push('begin')
      return answers()
    },
    left: () => void noted.push('left'),
  }
}
const yes = async (): Promise<boolean> => true

describe.each([[[]], [['PIPELINING']]])('with %j', (extensions) => {
  test('the channel asks once, when the server is ready and nothing of the message has left', async () => {
    const server = await scripted({ extensions })
    let known: readonly string[] = []
    const handover = noting(async () => {
      known = [...server.commands.map((line) => line.slice(0, 4)), ...server.bodies]
      return true
    })
    expect(await channelTo(server.port).send(mail, handover)).toEqual({ kind: 'sent' })
    expect(known).toEqual(['EHLO', 'MAIL', 'RCPT', 'DATA'])
    expect(handover.noted).toEqual(['begin', 'left'])
    expect(server.bodies).toHaveLength(1)
  })

  const before: Record<string, Script> = {
    'a greeting that refuses us': { greeting: '554 no' },
    'a refused sender': { MAIL: '550 no' },
    'a deferred recipient': { RCPT: '451 4.7.1 later' },
    'a refused recipient': { RCPT: '550 5.1.1 unknown' },
    'a cut at the recipient': { RCPT: 'cut' },
    'a refusal of DATA': { DATA: '554 no' },
    'a cut at DATA': { DATA: 'cut' },
  }
  test.each(Object.entries(before))('%s: it never asks', async (_, script) => {
    const server = await scripted({ ...script, extensions })
    const handover = noting(yes)
    await channelTo(server.port).send(mail, handover)
    expect([handover.noted, server.bodies]).toEqual([[], []])
  })

  test('it is told not to begin: the connection ends without the dot, and nothing counts as sent', async () => {
    const server = await scripted({ extensions })
    const handover = noting(async () => false)
    expect(await channelTo(server.port).send(mail, handover)).toEqual({ kind: 'not-begun' })
    expect([handover.noted, server.bodies]).toEqual([['begin'], []])
  })

  test('the intent cannot be committed: the channel rejects with the same error, and nothing has left', async () => {
    const server = await scripted({ extensions })
    const away = new Error('the database is away')
    const handover = noting(async () => Promise.reject(away))
    await expect(channelTo(server.port).send(mail, handover)).rejects.toBe(away)
    expect([handover.noted, server.bodies]).toEqual([['begin'], []])
  })
})

test('it is told not to begin: a real server discards what has no dot', async () => {
  const server = await realServer()
  expect(
    await channelTo(server.port).send(
      mail,
      noting(async () => false),
    ),
  ).toEqual({ kind: 'not-begun' })
  expect(await server.ended).toBe('discarded')
})

describe('the connection ends while the intent is being committed', () => {
  test('given up after the total time: the outcome waits for the intent, and nothing leaves afterwards', async () => {
    const server = await scripted()
    const committed = Promise.withResolvers<boolean>()
    const handover = noting(async () => committed.promise)
    let outcome: unknown
    const sending = channelTo(server.port, { totalMs: 200 })
      .send(mail, handover)
      .then((delivery) => (outcome = delivery))
    await wait(400)
    expect(outcome).toBeUndefined()
    committed.resolve(true)
    expect(await sending).toMatchObject({ kind: 'unavailable', detail: expect.stringContaining('ETIMEDOUT') })
    expect([handover.noted, server.bodies]).toEqual([['begin'], []])
  })

  test('the server says an untimely word: no dot follows it', async () => {
    const server = await scripted({ DATA: '354 go on\r\n451 4.7.1 too slow' })
    const committed = Promise.withResolvers<boolean>()
    const sending = channelTo(server.port).send(
      mail,
      noting(async () => committed.promise),
    )
    await server.reached('DATA')
    await wait(50)
    committed.resolve(true)
    expect(await sending).toMatchObject({ kind: 'deferred' })
    expect(server.bodies).toEqual([])
  })

  test('the server takes a message that it has not been given: that is no delivery', async () => {
    const server = await scripted({ DATA: '354 go on\r\n250 queued' })
    const committed = Promise.withResolvers<boolean>()
    const sending = channelTo(server.port).send(
      mail,
      noting(async () => committed.promise),
    )
    await server.reached('DATA')
    await wait(50)
    committed.resolve(true)
    expect(await sending).toMatchObject({ kind: 'unavailable' })
    expect(server.bodies).toEqual([])
  })
})

describe('after the last byte', () => {
  test.each(['cut', 'silence'] as const)('%s: the channel has said that all of it left', async (dot) => {
    const server = await scripted({ dot })
    const handover = noting(yes)
    const timeouts = dot === 'silence' ? { silenceMs: 300 } : {}
    expect(await channelTo(server.port, timeouts).send(mail, handover)).toMatchObject({ kind: 'uncertain' })
    expect(handover.noted).toEqual(['begin', 'left'])
  })
})
