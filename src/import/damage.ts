// Recognises what spreadsheets, exports and copying do to a value that identifies a user or a connection. Two damaged
// values may have become equal, and one user's row would be taken for another's. Pure. Says what is wrong, never the
// value. A value that may be a real id in some company is accepted: decision 0030.

const AS_TEXT = 'format the column as text in the spreadsheet and export it again'

/** Writing `="00123"` tells a spreadsheet that a cell is text: it is read as the text between the quotes. */
export const unwrapped = (value: string): string => {
  const text = value.replace(/^ +| +$/g, '')
  return (
    /^="((?:[^"]|"")*)"$/
      .exec(text)?.[1]
      ?.replaceAll('""', '"')
      .replace(/^ +| +$/g, '') ?? text
  )
}

/** As `unwrapped`, and removes the leading apostrophe that marks text. Not for names such as 't Hooft. */
export const unmarked = (value: string): string => unwrapped(value).replace(/^'(?=[^'])(?!.*'$)/s, '')

/** Finds lone surrogates, and the character that replaces bytes that could not be decoded. */
export const unreadable = (value: string): string | undefined => {
  if (!value.isWellFormed()) return 'holds half a character'
  return value.includes('\uFFFD')
    ? 'is not UTF-8 text (perhaps Windows-1252): save the file as UTF-8, in Excel as "CSV UTF-8"'
    : undefined
}

// Spaces other than the ordinary one are invisible too: two ids that differ only in such spaces look the same.
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/u
const spoken: Readonly<Record<string, string>> = {
  '\t': 'a tab',
  '\r': 'a line break',
  '\n': 'a line break',
  '\u00A0': 'a no-break space',
  '\u00AD': 'a soft hyphen',
  '\u200B': 'a zero-width space',
  '\uFEFF': 'a byte order mark',
}

export const invisible = (value: string): string | undefined => {
  const found = INVISIBLE.exec(value)
  if (found === null) return undefined
  const [character] = found
  const code = `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`
  const kind = /\p{Cc}/u.test(character) ? 'a control character' : 'an invisible character'
  return (
    `holds ${kind} (${code}${spoken[character] === undefined ? '' : `, ${spoken[character]}`}, at position ` +
    `${found.index + 1}): remove it`
  )
}

/**
 * What programs write for an absent value, in any letters. But capitalised, Null, Nil and Nan are also people's names.
 */
const PLACEHOLDERS = [
  /^(?:null|nil|none|undefined|nan|n\/a|#n\/a|\\+n)$/i,
  /^[([<{](?:null|nil|none|undefined|blank|empty|redacted|filtered|censored|hidden)[)\]>}]$/i,
  /^(?:\[object \w+\]|[-–—_.?*•]+|""|'')$/i,
]
const CASELESS = /^(?:null|nil|none|nan)$/i
const AS_A_NAME = /^(?:Null|Nil|Nan)$/

export const isPlaceholder = (value: string): boolean => PLACEHOLDERS.some((pattern) => pattern.test(value))
/**
 * What numeric programs write for an absent value (R, pandas, C, JavaScript). In a name, some of these may be intended.
 */
const NOT_AVAILABLE = /^(?:NA|<NA>|NaT|N\.A\.|n\.a\.|-nan|[+-]?Infinity|-?1\.#(?:QNAN|IND|INF))$/

const SHEET_ERROR = /^(?:#+|#(?:N\/[A-Z]|NV|GETTING_DATA|[\p{L}\d_/¡¿]+[!?])|(?:Err|Fehler|Erreur) ?:\d{3})$/u
export const sheetError = (value: string): string | undefined =>
  SHEET_ERROR.test(value)
    ? 'is what a spreadsheet shows in place of a value (such as #REF! or ####): widen the column or mend the ' +
      'formula, and export it again'
    : undefined

/** For text that people read. */
export const brokenText = (value: string): string | undefined => {
  const isNobody = isPlaceholder(value) && !(CASELESS.test(value) && AS_A_NAME.test(value))
  return (
    unreadable(value) ??
    sheetError(value) ??
    shortenedNumber(value) ??
    formula(value) ??
    (isNobody ? PLACEHOLDER_SAID : undefined)
  )
}

/**
 * For names, which need joiners and direction marks in some languages. Finds only characters that hide, reverse or
 * break the text around them.
 */
export const hiding = (value: string): string | undefined =>
  /[\p{Cc}\u00AD\u200B\u2060\uFEFF\u202A-\u202E\u2066-\u2069\uFFF9-\uFFFB]/u.test(value) ? invisible(value) : undefined
const PLACEHOLDER_SAID = 'is a placeholder for nothing, such as NULL or N/A'

/**
 * A number as a program displays it. No id has a plus in the exponent, or a fraction before the exponent:
 * `1.23457E+15`, `1,2E+05`, `1e+21`, `1.23457E8` (Java). `1E5`, `12e4567` and `12E-4` may be ids: hexadecimal numbers,
 * or the number of a flat.
 */
const SCIENTIFIC = /^[+-]?(?:\d+ ?e\+\d{1,3}|(?:\d+[.,٫]\d*|[.,]\d+) ?e[+-]?\d{1,3})$/i
/**
 * `12345.0`: a column with gaps was read as fractions. `12345,00`, `1,234,567`, `1'234'567`: the number was shown as an
 * amount.
 */
const RENDERED = /^[+-]?(?:\d+[.,]0+|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:['’]\d{3})+(?:[.,]\d+)?)$/
export const shortenedNumber = (value: string): string | undefined => {
  if (SCIENTIFIC.test(value))
    return `looks like a number that a spreadsheet shortened (such as 1.23457E+15): ${AS_TEXT}`
  return RENDERED.test(value)
    ? `looks like a number that a program wrote anew (such as 12345.0 or 1,234,567): ${AS_TEXT}`
    : undefined
}

const formula = (value: string): string | undefined =>
  value.startsWith('=') ? `is a formula of a spreadsheet: ${AS_TEXT}` : undefined

const DAY = '(?:0?[1-9]|[12]\\d|3[01])'
const TIME = '(?:,? \\d{1,2}:\\d{2}(?::\\d{2}(?:[.,]\\d+)?)?(?: ?[ap]\\.?m\\.?)?)?'
/** Month names as Excel abbreviates them in the languages of our messages. */
const MONTH = [
  'jan|feb|mar|apr|may|jun|jul|aug|sept?|oct|nov|dec',
  'mrz|mär|mai|okt|dez',
  'janv|févr|mars|avr|juin|juil|août|déc',
  'ene|abr|ago|dic|gen|mag|giu|lug|ott',
  'sty|lut|kwi|maj|cze|lip|sie|wrz|paź|lis|gru',
].join('|')
/** `12-May`, `12-mai`, `12. Mai` and `12.maj` were the ids MAY12 or 12-5. */
const DAY_AND_MONTH = new RegExp(`^${DAY}(?:[-/ .]|\\. )(?:${MONTH})\\.?(?:[-/ .]\\d{2,4})?$`, 'iu')
/**
 * `Mar-30` and `Mrz 30` were the id MAR2030. Only a value with a capital is taken for a date: `may-12` is a user's id.
 */
const MONTH_AND_YEAR = new RegExp(`^(?:${MONTH})\\.?[- ]\\d{2}$`, 'iu')
const FULL_DATES = [
  `${DAY}([-/.])${DAY}\\1\\d{4}${TIME}`,
  `${DAY}/${DAY}/\\d{2}${TIME}`,
  `\\d{4}/[01]?\\d/[0-3]?\\d${TIME}`,
  '\\d{4}-[01]\\d-[0-3]\\d(?:[T ][\\d:.]+(?:Z|[+-][\\d:]+)?)?',
].map((date) => new RegExp(`^${date}$`, 'i'))
const isDate = (value: string): boolean =>
  DAY_AND_MONTH.test(value) ||
  (/^\p{Lu}/u.test(value) && MONTH_AND_YEAR.test(value)) ||
  FULL_DATES.some((date) => date.test(value))

/**
 * Truth values as a spreadsheet writes them in the languages of our messages; true and false also as programs write
 * them.
 */
const TRUTH_VALUE = /^(?:[Tt]rue|TRUE|[Ff]alse|FALSE|WAHR|FALSCH|VRAI|FAUX|VERDADERO|FALSO|VERO|PRAWDA|FAŁSZ)$/
/** Quotation marks around the value, or left over at one end. An apostrophe may end a value (`Travis'`). */
const QUOTED = /^(["'`]).*\1$|^["'“”„«»‘‚]|["“”„«»]$/s

/** What is wrong with a value that identifies a user, a connection or a bank; undefined when the value may be an id. */
export const damageOf = (value: string): string | undefined => {
  const bytes = unreadable(value) ?? invisible(value)
  if (bytes !== undefined) return bytes
  if (isPlaceholder(value) || NOT_AVAILABLE.test(value)) return PLACEHOLDER_SAID
  const shown = sheetError(value) ?? shortenedNumber(value)
  if (shown !== undefined) return shown
  if (TRUTH_VALUE.test(value)) return `is a truth value: ${AS_TEXT}`
  if (isDate(value)) return `looks like a date that a spreadsheet made of an id: ${AS_TEXT}`
  if (formula(value) !== undefined) return formula(value)
  if (QUOTED.test(value)) return 'stands in quotation marks, or begins or ends with one: export it without'
  if (/(?:\.\.\.|…)$/.test(value)) return 'ends in dots: it was cut off where it was copied from'
  return /[*•]{3,}/.test(value) ? 'is masked: export it in clear' : undefined
}

/**
 * What is wrong with a token. RFC 6749 allows printable ASCII only: a space shows that a line was wrapped, a
 * typographic character that the text was autocorrected.
 */
export const damageOfToken = (value: string): string | undefined =>
  damageOf(value) ??
  (/[^\x21-\x7e]/.test(value)
    ? 'holds a space or a character that no token has: it was changed where it was copied'
    : undefined)
