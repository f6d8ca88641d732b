// A report as an SVG with two groups of bars: how many renewals a second each side makes, and what CPU each renewal
// costs. No script, no font and no picture from elsewhere.
import type { Report } from './report.ts'

const LEFT = 150
const WIDTH = 860
const BARS = WIDTH - LEFT - 90
const ROW = 26
const BAR = 16
const TITLE = 34

type Shown = Report['sides'][number]
interface Part {
  readonly label: string
  readonly colour: string
  of(side: Shown): number
}

const speed: readonly Part[] = [
  { label: 'renewals a second', colour: '#2c6e9b', of: ({ figures }) => figures.renewalsPerSecond.median },
]
const cpu: readonly Part[] = [
  { label: 'own process', colour: '#2c6e9b', of: ({ figures }) => figures.ownCpuMs.median },
  { label: 'PostgreSQL', colour: '#d08b2f', of: ({ figures }) => figures.postgresCpuMs.median },
  { label: 'Redis', colour: '#a33d3d', of: ({ figures }) => figures.redisCpuMs.median },
]

const escapeXml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

const text = (x: number, y: number, words: string, attributes = ''): string =>
  `<text x="${x.toFixed(0)}" y="${y.toFixed(0)}" ${attributes}>${escapeXml(words)}</text>`

const rect = (x: number, y: number, width: number, colour: string, height = BAR): string =>
  `<rect x="${x.toFixed(1)}" y="${y.toFixed(0)}" width="${width.toFixed(1)}" height="${height}" fill="${colour}"/>`

const sumOf = (parts: readonly Part[], side: Shown): number => parts.reduce((sum, part) => sum + part.of(side), 0)

/** Bars from `top` on, each made of its parts, with the sum at its end. */
const group = (title: string, top: number, sides: readonly Shown[], parts: readonly Part[]): string => {
  const most = Math.max(...sides.map((side) => sumOf(parts, side)))
  const legend = parts.length > 1 ? parts : []
  const keys = legend.map(
    ({ label, colour }, index) =>
      rect(LEFT + 330 + index * 120, top + 5, 10, colour, 10) + text(LEFT + 345 + index * 120, top + 14, label),
  )
  const rows = sides.map((side, index) => {
    const y = top + TITLE + index * ROW
    let x = LEFT
    const bars = parts.map((part) => {
      const width = (part.of(side) / most) * BARS
      x += width
      return rect(x - width, y, width, part.colour)
    })
    const sum = text(x + 6, y + 12, sumOf(parts, side).toFixed(1))
    return text(LEFT - 8, y + 12, side.name, 'text-anchor="end"') + bars.join('') + sum
  })
  return [text(LEFT, top + 14, title, 'font-weight="bold"'), ...keys, ...rows].join('\n')
}

export const makePlot = ({ options, sides }: Report): string => {
  const height = TITLE + sides.length * ROW
  const second = height + 24
  const rounds = options.rounds === 1 ? '1 round' : `medians of ${options.rounds} rounds`
  const terms = `${options.consents} consents, ${rounds}, provider latency ${options.latencyMs} ms`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${second + height + 24}" font-size="12"
  font-family="system-ui, sans-serif" role="img" aria-label="Renewals a second and CPU for each renewal, by side">
<rect width="100%" height="100%" fill="#ffffff"/>
${group('Renewals a second, more is better', 4, sides, speed)}
${group('CPU for each renewal in ms, less is better', second, sides, cpu)}
${text(LEFT, second + height + 12, terms, 'fill="#555555"')}
</svg>
`
}
