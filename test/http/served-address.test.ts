// The rule that the router, the import and doctor share.
import { describe, expect, test } from 'vitest'
import { losesCodes, servedAddress } from '../../src/http/served-address.ts'

const TOKEN = 'AbCdEfGhIjKlMnOpQrStUvWxYz0123456789-_AbCdE'

describe('an address', () => {
  test.each([
    ['/callback', '/callback'],
    ['/callback/?code=C/d%2Fe&state=S%3D', '/callback?code=C/d%2Fe&state=S%3D'],
    ['//CALLBACK//&code=Aa&state=Bb', '/callback?code=Aa&state=Bb'],
    ['/callback?', '/callback'],
    ['/callback?code=a;b&state=c', '/callback?code=a;b&state=c'],
    ['/callback?x=1?error=denied&state=S', '/callback?x=1&error=denied&state=S'],
    ['/callback?code=what?&state=S', '/callback?code=what?&state=S'],
    [`/R/${TOKEN}`, `/r/${TOKEN}`],
    [`/r/${TOKEN}?utm=1`, `/r/${TOKEN}`],
    [`/r/${TOKEN.slice(0, 42)}`, `/r/${TOKEN.slice(0, 42)}`],
    ['/r/%ff', '/r/%ff'],
    ['/r', '/r'],
    ['/callbacks', '/callbacks'],
    ['/callback/x', '/callback/x'],
    ['/callback.php', '/callback.php'],
    ['/x/callback', '/x/callback'],
    ['/x/../callback', '/x/../callback'],
    ['*', '*'],
    ['', ''],
    ['/', '/'],
    ['/%', '/%'],
  ])('%s means %s', (target, meant) => expect(servedAddress(target)).toBe(meant))

  test('of any length is judged quickly', () => {
    const startedAt = performance.now()
    for (const piece of ['/', '%2f', '#', '?', ';', '%25', '%E2%80%8B', '&amp;', '?code=', '\u200b']) {
      servedAddress(`/callback${piece.repeat(20_000)}`)
      servedAddress(`/r/${piece.repeat(20_000)}`)
    }
    expect(performance.now() - startedAt).toBeLessThan(1_000)
  })
})

describe('a redirect_uri that nothing answers', () => {
  const own = 'https://consents.example.com'
  test.each<[string, boolean]>([
    ['https://consents.example.com/callback', false],
    ['https://consents.example.com/callback/', false],
    ['https://consents.example.com//Callback?tenant=1', false],
    ['https://CONSENTS.example.com:443/callback', false],
    ['https://consents.example.com/callback?tenant=1&x=state', false],
    // The bank would add a second parameter of the same name.
    ['https://consents.example.com/callback?state=x', true],
    ['https://consents.example.com/callback/?tenant=1&state', true],
    ['https://consents.example.com/callback?%63ode=x', true],
    ['https://consents.example.com/Callback?error=', true],
    ['https://consents.example.com/callback&state=x', true],
    ['https://consents.example.com/', true],
    ['https://consents.example.com', true],
    ['https://consents.example.com/callbacks', true],
    ['https://consents.example.com/oauth/callback', true],
    ['https://consents.example.com/v1/callbacks', true],
    [`https://consents.example.com/r/${TOKEN}`, true],
    ['https://CONSENTS.EXAMPLE.COM/cb', true],
    ['https://consents.example.com.:443/cb', true],
    ['http://consents.example.com/cb', true],
    ['http://consents.example.com:443/cb', true],
    // Other addresses are the company's own; it forwards their callbacks by POST /v1/callbacks.
    ['https://consents.example.com:8443/cb', false],
    ['https://app.example.com/cb', false],
    ['https://consents.example.com.evil.example/cb', false],
    ['not an address', false],
  ])('%s: %s', (redirectUri, dead) => expect(losesCodes(redirectUri, own)).toBe(dead))
})
