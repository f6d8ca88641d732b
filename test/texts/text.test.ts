import { expect, test } from 'vitest'
import { fill } from '../../src/texts/text.ts'

test('a value that looks like a placeholder is not filled in', () => {
  expect(fill('{{ bank }} and {{company}}', { bank: '{{company}}', company: '$& $1' })).toBe('{{company}} and $& $1')
  expect(fill('{{bank}}', { bank: '{{name}}' })).toBe('{{name}}')
})

test('a name that is unknown disappears together with the space or comma before it', () => {
  for (const name of [undefined, '']) {
    expect(fill('Hello {{name}},', { name })).toBe('Hello,')
    expect(fill('Hello, {{ name }}.', { name })).toBe('Hello.')
  }
  expect(fill('Hello {{name}},', { name: 'Zoë' })).toBe('Hello Zoë,')
})
