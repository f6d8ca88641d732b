// `doctor`: checks everything an installation needs, and says how to fix each problem.
import { diagnose } from '../doctor/diagnose.ts'
import type { Finding } from '../doctor/finding.ts'
import { type Define, examples, json } from './command.ts'
import type { Terminal } from './terminal.ts'
import { count, table } from './text.ts'

const marks: Record<Finding['level'], string> = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' }

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Checks the configuration, the database, its migrations and its clock, the encryption keys against what is
stored, the queue (Redis: version, noeviction, append-only file), the mail server, the provider's
credentials, PUBLIC_URL, and what the records say of the last hours. Each line is ok, warn or fail, with
what to do. Changes nothing and sends nothing to any user. Exit code 1 if anything fails.`,
    )
    .addOption(json)
    .addHelpText('after', examples('reconsent doctor', 'reconsent doctor --json'))
    .action(exits(async (options) => examine(terminal, options.json)))

const examine = async (terminal: Terminal, asJson = false): Promise<number> => {
  const findings: Finding[] = []
  for await (const finding of diagnose()) {
    findings.push(finding)
    if (asJson) continue
    await terminal.line(table([[marks[finding.level], finding.check.padEnd(22), finding.detail]]))
    if (finding.advice !== undefined) await terminal.line(`${' '.repeat(30)}${finding.advice}`)
  }
  const failed = findings.filter(({ level }) => level === 'fail').length
  const warned = findings.filter(({ level }) => level === 'warn').length
  if (asJson)
    await terminal.json({
      ok: failed === 0,
      failed,
      warned,
      findings: findings.map((finding) => ({ ...finding, advice: finding.advice ?? null })),
    })
  else await terminal.line(`\n${failed} failed, ${count(warned, 'warning')}, ${findings.length - failed - warned} ok`)
  return failed > 0 ? 1 : 0
}
