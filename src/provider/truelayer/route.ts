// What TrueLayer's client needs of one route: each route has a folder with a `route.ts` that exports this.
import type { CodeExchange, LinkAnswer, LinkRequest, TokenAnswer } from '../port.ts'
import type { Send } from './http.ts'
import type { Client } from './tokens.ts'

export interface TrueLayerRoute {
  /** Asks for an authorisation URL, or builds one. */
  makeLink(send: Send, client: Client, request: LinkRequest): Promise<LinkAnswer>
  /** Exchanges the code that came back; sent at most once. */
  exchangeCode(send: Send, client: Client, request: CodeExchange): Promise<TokenAnswer>
}
