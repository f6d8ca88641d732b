// Authorisation URLs and the codes that come back: made, opened, decided, exchanged, each at most once (unless a switch
// says otherwise).
import type { DateTime } from 'luxon'
import type { Bank } from './banks.ts'
import type { Clock } from './clock.ts'
import type { Ledger } from './ledger.ts'
import type { Switches } from './switches.ts'
import { randomToken } from './tokens.ts'

export interface LinkTerms {
  /** The connection to renew; undefined for a full authentication URL, which makes a new connection. */
  readonly credentialsId: string | undefined
  readonly bank: Bank
  readonly scopes: readonly string[]
  readonly redirectUri: string
  readonly state: string | undefined
  readonly codeChallenge: string | undefined
  readonly responseMode: 'query' | 'form_post'
}

export interface BankLink extends LinkTerms {
  readonly no: number
  readonly id: string
  readonly madeAt: DateTime
  openedAt: DateTime | undefined
  decidedAt: DateTime | undefined
}

export interface Code {
  readonly no: number
  readonly value: string
  readonly link: BankLink
  /** Whose account was approved: that of the link's connection, or another one. */
  readonly approvedBy: 'owner' | 'somebody-else'
  readonly issuedAt: DateTime
  /** The connection for which the code's first use returned tokens. */
  exchangedFor: string | undefined
}

export interface Links {
  make(terms: LinkTerms): BankLink
  find(id: string): BankLink | undefined
  /** Opens the bank's page by the link; false when the link is too old or used up. */
  open(link: BankLink): boolean
  /** Records the user's decision; false when the page was never opened, is too old or already has its decision. */
  decide(link: BankLink): boolean
  issueCode(link: BankLink, approvedBy: Code['approvedBy']): Code
  findCode(value: string): Code | undefined
}

export const makeLinks = ({ clock, ledger, switches }: { clock: Clock; ledger: Ledger; switches: Switches }): Links => {
  const links = new Map<string, BankLink>()
  const codes = new Map<string, Code>()
  const isFresh = (since: DateTime): boolean =>
    clock.now() <= since.plus({ seconds: switches.get('link_life_seconds') })
  return {
    make: (terms) => {
      const made = {
        no: links.size + 1,
        id: randomToken(24),
        madeAt: clock.now(),
        openedAt: undefined,
        decidedAt: undefined,
      }
      const link: BankLink = { ...terms, ...made }
      links.set(link.id, link)
      return link
    },
    find: (id) => links.get(id),
    open: (link) => {
      const use = switches.get('link_use')
      const usedUp =
        (use === 'opening' && link.openedAt !== undefined) || (use === 'decision' && link.decidedAt !== undefined)
      if (usedUp || !isFresh(link.madeAt)) return false
      link.openedAt = clock.now()
      return true
    },
    decide: (link) => {
      const decided = link.decidedAt !== undefined && switches.get('link_use') !== 'unlimited'
      if (decided || link.openedAt === undefined || !isFresh(link.openedAt)) return false
      link.decidedAt = clock.now()
      return true
    },
    issueCode: (link, approvedBy) => {
      const code: Code = {
        no: codes.size + 1,
        value: randomToken(32),
        link,
        approvedBy,
        issuedAt: clock.now(),
        exchangedFor: undefined,
      }
      codes.set(code.value, code)
      ledger.record({
        what: 'code',
        outcome: 'ok',
        credentials_id: link.credentialsId,
        link_no: link.no,
        code_no: code.no,
        detail: approvedBy,
      })
      return code
    },
    findCode: (value) => codes.get(value),
  }
}
