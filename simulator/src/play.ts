// Plays the user at the bank by real HTTP: opens a link, presses a button, and returns where the browser would be sent.
// It does not follow that last redirect.
import type { Decision } from './bank.ts'

export type Played =
  | { readonly kind: 'callback'; readonly method: 'GET'; readonly url: string }
  | {
      readonly kind: 'callback'
      readonly method: 'POST'
      readonly url: string
      readonly form: Readonly<Record<string, string>>
    }
  /** The user closed the tab; no callback will arrive. */
  | { readonly kind: 'closed' }
  /** The bank refused the link: 410 expired or used, 404 unknown, 400 a wrong full authentication URL. */
  | { readonly kind: 'refused'; readonly status: number }

const unescape = (text: string): string =>
  text
    .replaceAll('&lt;', '<')
    .replaceAll('&gt;', '>')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&amp;', '&')

const formPostOf = (body: string): Played => {
  const action = /<form id="callback" method="post" action="([^"]*)">/.exec(body)?.[1]
  if (action === undefined) return { kind: 'closed' }
  const inputs = body.matchAll(/<input type="hidden" name="([^"]*)" value="([^"]*)">/g)
  const form = Object.fromEntries([...inputs].map(([, name = '', value = '']) => [unescape(name), unescape(value)]))
  return { kind: 'callback', method: 'POST', url: unescape(action), form }
}

/** `bankUrl` is the simulator's base URL: redirects within it are followed. Throws when the link leads elsewhere. */
export const playAtBank = async (bankUrl: string, { link, as }: { link: string; as: Decision }): Promise<Played> => {
  if (new URL(link).origin !== bankUrl) throw new Error('simulator: this link does not lead to the simulated bank')
  const opened = await fetch(link)
  await opened.arrayBuffer()
  if (opened.status !== 200) return { kind: 'refused', status: opened.status }
  const decided = await fetch(opened.url, {
    method: 'POST',
    body: new URLSearchParams({ decision: as }),
    redirect: 'manual',
  })
  const body = await decided.text()
  const location = decided.headers.get('location')
  if (decided.status === 303 && location !== null) return { kind: 'callback', method: 'GET', url: location }
  return decided.status === 200 ? formPostOf(body) : { kind: 'refused', status: decided.status }
}
