import { expect, test } from 'vitest'
import { chooseLocale } from '../../../src/http/pages/locale.ts'

test.each([
  ['the consent before the browser', 'pl', 'de', 'pl'],
  ['the region of the consent is kept for its dates', 'fr-CA', 'de', 'fr-CA'],
  ['the browser where the consent says nothing', undefined, 'de-AT,de;q=0.9,en;q=0.8', 'de-AT'],
  ['the browser where we do not write the consent’s language', 'sv', 'it', 'it'],
  ['the highest quality, not the first place', undefined, 'en;q=0.2, es ; q=0.9, fr;q=0.5', 'es'],
  ['the first language we write', undefined, 'sv, nl;q=0.9, pl;q=0.1', 'pl'],
  ['not what is unwanted', undefined, 'de;q=0, fr;q=0.1', 'fr'],
  ['English for anything', undefined, '*', 'en'],
  ['English without a header', null, undefined, 'en'],
  ['English for nonsense', '', ';;;q=,,\u0000=1;q=x', 'en'],
  ['English for an endless header', undefined, 'x,'.repeat(100_000), 'en'],
])('%s', (_, consent, acceptLanguage, expected) => {
  expect(chooseLocale({ consent, acceptLanguage })).toBe(expected)
})
