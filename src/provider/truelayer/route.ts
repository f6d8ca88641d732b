// What one route asks of TrueLayer; its implementation is in the folder of the route's name. Every route begins with a
// URL to which the button on the start page leads, and ends with a code at the callback, which is exchanged once.
import type { CodeExchange, LinkAnswer, LinkRequest, TokenAnswer } from '../port.ts'
import type { Send } from './http.ts'
import type { Client } from './tokens.ts'

export interface TrueLayerRoute {
  /** Asks for the URL, or builds it without a call, as the trait `linkCall` says. */
  makeLink(send: Send, client: Client, request: LinkRequest): Promise<LinkAnswer>
  /** Exchanges the code that came back; sent at most once. */
  exchangeCode(send: Send, client: Client, request: CodeExchange): Promise<TokenAnswer>
}
