// Formats text for people: tables, dates, spans of time.
import type { DateTime } from 'luxon'

/** `2026-11-23 09:00Z`, or a dash when undefined. */
export const dateText = (at: DateTime | undefined): string =>
  at === undefined
    ? '-'
    : at
        .toJSDate()
        .toISOString()
        .replace(/^(.*)T(\d\d:\d\d).*$/, '$1 $2Z')

const units = [
  ['days', 86_400_000],
  ['hours', 3_600_000],
  ['minutes', 60_000],
] as const

/** `in 12 days`, `3 hours ago`, `now`. */
export const relativeText = (at: DateTime, now: DateTime): string => {
  const ms = at.toMillis() - now.toMillis()
  for (const [unit, size] of units) {
    const count = Math.floor(Math.abs(ms) / size)
    if (count < 1) continue
    const words = `${count} ${count === 1 ? unit.slice(0, -1) : unit}`
    return ms > 0 ? `in ${words}` : `${words} ago`
  }
  return 'now'
}

/** `2026-11-23 09:00Z (in 12 days)` */
export const whenText = (at: DateTime | undefined, now: DateTime): string =>
  at === undefined ? '-' : `${dateText(at)} (${relativeText(at, now)})`

/**
 * Pads each column except the last to its widest cell. Replaces control characters, so that imported texts cannot send
 * them to the terminal.
 */
export const table = (rows: readonly (readonly string[])[]): string => {
  const clean = rows.map((row) => row.map((cell) => cell.replaceAll(/\p{Cc}/gu, '?')))
  const widths = clean.reduce<number[]>(
    (widest, row) => row.map((cell, index) => Math.max(cell.length, widest[index] ?? 0)),
    [],
  )
  return clean
    .map((row) =>
      row
        .map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** `1 row`, `2 rows`, `12,000 rows` */
export const count = (number: number, noun: string, plural = `${noun}s`): string =>
  `${number.toLocaleString('en')} ${number === 1 ? noun : plural}`
