import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { html, htmlText, ownPath } from '../../../src/http/pages/html.ts'

describe('html', () => {
  test('escapes strings, keeps its own pieces, joins lists, leaves out what is not there', () => {
    const piece = html`<b>${'<&"\'>'}</b>`
    expect(htmlText(html`<p title="${'"x"'}">${piece}${[piece, 'a<b', 1]}${undefined}${false}</p>`)).toBe(
      '<p title="&quot;x&quot;"><b>&lt;&amp;&quot;&#39;&gt;</b><b>&lt;&amp;&quot;&#39;&gt;</b>a&lt;b1</p>',
    )
  })

  test('keeps every string inside of text or of a quoted attribute', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        const inner = htmlText(html`${value}`)
        expect(inner).not.toMatch(/[<>"']/)
        expect(inner.replace(/&(amp|lt|gt|quot|#39);/g, '')).not.toContain('&')
      }),
    )
  })

  test('does not take data for a finished piece', () => {
    const forged = JSON.parse('{"markup":"<script>"}') as never
    expect(() => htmlText(html`${forged}`)).toThrow(TypeError)
  })
})

describe('a path of our own', () => {
  test.each(['/', '/r/AbC_123-x', '/callback?code=a%20b&state=c&x=//y'])('%s is', (path) =>
    expect(ownPath(path)).toBe(path),
  )
  test.each([
    '',
    'r/x',
    '//evil.test',
    '/\\evil.test',
    'https://evil.test',
    'javascript:alert(1)',
    '/a b',
    '/a\r\nb',
    '/\t/evil.test',
    ' /x',
  ])('%j is not', (path) => {
    expect(() => ownPath(path)).toThrow('a page may only link to a path of its own')
  })
})
