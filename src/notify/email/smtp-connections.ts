// The connections to the mail server: opens them, keeps those that are fit for another message, and ends the others.
// Knows nothing of messages: whether a connection is fit for another one is for the caller to say.
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { ChannelTimeouts } from '../port.ts'
import type { SmtpFailure } from './smtp-outcome.ts'
import type { SmtpServer } from './smtp-url.ts'

/** How long a connection is kept. */
export interface Keeping {
  /** Between two messages. Servers end a silent connection after minutes, a busy Postfix after ten seconds. */
  readonly idleMs: number
  /** Servers limit the messages of a connection. A new one also finds a server that has moved to another address. */
  readonly messages: number
}

const usualKeeping: Keeping = { idleMs: 5_000, messages: 100 }

type Talk = (smtp: SMTPConnection, finish: (failure?: SmtpFailure) => void) => void

/** A connection that one caller has for itself, until `giveBack` or `end`. */
export interface Line {
  /**
   * Runs one dialogue, for `withinMs` at most, once the server has let us in. Resolves to `undefined` when all went
   * well. A connection that ends before `finish` was called is a failure too.
   */
  dialogue(withinMs: number, talk: Talk): Promise<SmtpFailure | undefined>
  /** Both sides expect the next message; after a refusal (`afterRefusal`) the server is told to forget the last one. */
  giveBack(options: { readonly afterRefusal: boolean }): void
  /**
   * `quit`: the server still understands us, and RFC 5321 4.1.1.10 wants a QUIT. The connection is there until the
   * answer has come, but nobody waits for it.
   */
  end(how: 'quit' | 'cut'): void
}

interface KeptLine extends Line {
  /** Its time of rest is over: it is lent, or it ends. */
  wake(): void
}

/** Connects and logs in; calls `ready` once. */
const enter = (smtp: SMTPConnection, { login }: SmtpServer, ready: (failure?: SmtpFailure) => void): void => {
  smtp.connect((failure) => {
    if (failure || login === undefined || !smtp.allowsAuth) return ready(failure)
    smtp.login({ user: login.user, pass: login.password.reveal() }, (refused) => ready(refused ?? undefined))
  })
}

/** Has as many connections as its callers have dialogues at once; it sets no limit of its own to these. */
export const smtpConnections = (server: SmtpServer, timeouts: ChannelTimeouts, keeping: Keeping = usualKeeping) => {
  const all = new Set<KeptLine>()
  /** The newest is lent first, so that those which are too many after a rush run out. */
  const resting: KeptLine[] = []
  let isClosed = false

  const open = (): Line => {
    const smtp = new SMTPConnection({
      host: server.host,
      port: server.port,
      secure: server.secure,
      requireTLS: server.requireTLS,
      ignoreTLS: server.ignoreTLS,
      name: server.name,
      tls: server.tls,
      connectionTimeout: timeouts.connectMs,
      greetingTimeout: timeouts.connectMs,
      socketTimeout: timeouts.silenceMs,
      socketCloseTimeout: 1_000,
    })
    let dialogues = 0
    let fail: ((failure: SmtpFailure) => void) | undefined
    let rest: NodeJS.Timeout | undefined

    const line: KeptLine = {
      dialogue: (withinMs, talk) =>
        new Promise((resolve) => {
          const finish = (failure?: SmtpFailure): void => {
            clearTimeout(deadline)
            if (fail === finish) fail = undefined
            resolve(failure)
          }
          const deadline = setTimeout(() => {
            finish({ code: 'ETIMEDOUT' })
            smtp.close()
          }, withinMs)
          fail = finish
          dialogues += 1
          if (dialogues > 1) return talk(smtp, finish)
          enter(smtp, server, (failure) => (failure ? finish(failure) : talk(smtp, finish)))
        }),

      giveBack: ({ afterRefusal }) => {
        if (!all.has(line)) return
        if (isClosed || dialogues >= keeping.messages) return line.end('quit')
        rest = setTimeout(() => line.end('quit'), keeping.idleMs)
        if (!afterRefusal) return void resting.push(line)
        smtp.reset((failure) => {
          if (failure) line.end('cut')
          else if (rest !== undefined) resting.push(line)
        })
      },

      wake: () => {
        clearTimeout(rest)
        rest = undefined
        const at = resting.indexOf(line)
        if (at >= 0) resting.splice(at, 1)
      },

      end: (how) => {
        line.wake()
        if (how === 'quit') smtp.quit()
        if (how === 'cut' || isClosed) smtp.close()
      },
    }
    all.add(line)
    // The listener must stay for the connection's whole life: a reset while it rests or quits would otherwise be an
    // uncaught error. nodemailer closes the connection after it.
    smtp.on('error', (error: SmtpFailure) => fail?.(error))
    smtp.on('end', () => {
      all.delete(line)
      line.wake()
      // After a 421 nodemailer ends the connection first and reports the reply right after: that report must come
      // first.
      queueMicrotask(() => fail?.({ code: 'ECONNECTION' }))
    })
    return line
  }

  return {
    open,

    /** A connection that has carried a message, if one rests. The server may have ended it at this very moment. */
    take: (): Line | undefined => {
      const line = resting.at(-1)
      line?.wake()
      return line
    },

    /**
     * Keeps no connection any more, and cuts all: dialogues end with what is known by then, and no answer to a QUIT
     * holds up the process.
     */
    close: (): void => {
      isClosed = true
      for (const line of [...resting]) line.end('quit')
      for (const line of all) line.end('cut')
    },

    isClosed: () => isClosed,
  }
}
