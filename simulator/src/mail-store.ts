// The mails that arrived. A limited number of the newest is kept, in memory.
import type { Clock } from './clock.ts'
import type { EntryDraft, Ledger } from './ledger.ts'

export interface Mail {
  readonly id: number
  /** By the simulator's clock, in ISO 8601, UTC. */
  readonly at: string
  readonly from: string
  /** Envelope recipients, lower case. */
  readonly to: readonly string[]
  readonly subject: string
  readonly text: string
  readonly html: string
  /** Without angle brackets; empty when the mail had none. */
  readonly message_id: string
  readonly headers: Readonly<Record<string, string>>
  /** http(s) addresses in the text and the HTML, in order, each once. */
  readonly links: readonly string[]
}

export interface MailFilter {
  readonly to?: string | undefined
  /** Only mails with a greater id. */
  readonly after?: number | undefined
  readonly limit?: number | undefined
}

export interface MailStore {
  add(mail: Omit<Mail, 'id' | 'at' | 'links'>, met?: Pick<EntryDraft, 'fault' | 'late_ms'>): Mail
  /** Newest first. */
  list(filter?: MailFilter): readonly Mail[]
  find(id: number): Mail | undefined
  /** The number of all mails that arrived, including those no longer kept. */
  received(): number
  clear(): void
}

const unescape = (text: string): string =>
  text.replaceAll('&#38;', '&').replaceAll('&amp;', '&').replaceAll('&quot;', '"').replaceAll('&#39;', "'")

const linksIn = (text: string, html: string): readonly string[] => {
  const inText = [...text.matchAll(/https?:\/\/[^\s<>"'\])]+/g)].map(([link]) => link.replace(/[.,;:!?]+$/, ''))
  const inHtml = [...html.matchAll(/\shref\s*=\s*(?:"(https?:[^"]*)"|'(https?:[^']*)')/gi)].map(([, double, single]) =>
    unescape(double ?? single ?? ''),
  )
  return [...new Set([...inText, ...inHtml])].filter((link) => URL.canParse(link))
}

export const makeMailStore = ({ clock, ledger, keep }: { clock: Clock; ledger: Ledger; keep: number }): MailStore => {
  let kept: Mail[] = []
  let received = 0
  return {
    add: (mail, met) => {
      const stored: Mail = { id: ++received, at: clock.now().toISO(), ...mail, links: linksIn(mail.text, mail.html) }
      kept.push(stored)
      // Old mails are dropped in batches, so that a full store does not move every mail for each new one.
      if (kept.length > keep + Math.max(1, keep / 10)) kept = kept.slice(-keep)
      ledger.record({ what: 'mail', outcome: 'ok', to: stored.to, message_id: stored.message_id, ...met })
      return stored
    },
    list: ({ to, after = 0, limit = keep } = {}) => {
      const wanted = to?.toLowerCase()
      const found: Mail[] = []
      for (let index = kept.length - 1; index >= 0 && found.length < limit; index--) {
        const mail = kept[index]
        if (mail === undefined || mail.id <= after) break
        if (wanted === undefined || mail.to.includes(wanted)) found.push(mail)
      }
      return found
    },
    find: (id) => kept.find((mail) => mail.id === id),
    received: () => received,
    clear: () => {
      kept = []
    },
  }
}
