// The outcomes of a run as a Markdown table, for docs/reliability.md.
import type { Mutant } from './mutant.ts'
import type { Told } from './vitest-run.ts'

export type Verdict =
  | { readonly kind: 'caught'; readonly by: readonly Told[] }
  | { readonly kind: 'survived'; readonly passed: number }
  | { readonly kind: 'not judged'; readonly why: string }

export interface Judged {
  readonly mutant: Mutant
  readonly verdict: Verdict
  readonly seconds: number
}

const cell = (text: string): string => text.replaceAll(/\s+/g, ' ').replaceAll('|', String.raw`\|`)

export const describeVerdict = (verdict: Verdict): string => {
  switch (verdict.kind) {
    case 'caught': {
      const [first, ...more] = verdict.by
      return (
        `${first?.file.replace('test/', '')}: ` +
        `${first?.name}${more.length === 0 ? '' : ` (and ${more.length} more)`}`
      )
    }
    case 'survived':
      return `NOBODY: ${verdict.passed} tests passed`
    case 'not judged':
      return `NOT JUDGED: ${verdict.why}`
  }
}

export const mutantTable = (judged: readonly Judged[]): string =>
  [
    '| mistake | how | breaks | caught by | s |',
    '|---|---|---|---|---|',
    ...judged.map(({ mutant, verdict, seconds }, index) => {
      const again = judged[index - 1]?.mutant.mistake === mutant.mistake
      const mistake = again ? '' : mutant.mistake
      const how = `\`${mutant.id}\`: ${mutant.how}`
      const cells = [mistake, how, mutant.breaks, describeVerdict(verdict), seconds.toFixed(1)]
      return `| ${cells.map(cell).join(' | ')} |`
    }),
    '',
  ].join('\n')
