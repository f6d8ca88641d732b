// `doctor`: checks everything an installation needs, and says how to fix each problem.
import { diagnose } from '../doctor/diagnose.ts'
import type { Finding } from '../doctor/finding.ts'
import { type Command, json } from './command.ts'
import { table } from './text.ts'

const marks: Record<Finding['level'], string> = { ok: 'ok  ', warn: 'warn', fail: 'FAIL' }

export const command: Command = {
  usage: '[--json]',
  about: `Checks the configuration, the database, its migrations and its clock, the encryption keys against what is
stored, the queue (Redis: version, noeviction, append-only file), the mail server, the provider's
credentials, PUBLIC_URL, and what the records say of the last hours. Each line is ok, warn or fail, with
what to do. Changes nothing and sends nothing to any user. Exit code 1 if anything fails.`,
  arguments: [],
  options: { json },
  examples: ['reconsent doctor', 'reconsent doctor --json'],
  run: async (call) => {
    const findings: Finding[] = []
    for await (const finding of diagnose()) {
      findings.push(finding)
      if (call.flag('json')) continue
      await call.terminal.line(table([[marks[finding.level], finding.check.padEnd(22), finding.detail]]))
      if (finding.advice !== undefined) await call.terminal.line(`${' '.repeat(30)}${finding.advice}`)
    }
    const failed = findings.filter(({ level }) => level === 'fail').length
    const warned = findings.filter(({ level }) => level === 'warn').length
    if (call.flag('json'))
      await call.terminal.json({
        ok: failed === 0,
        failed,
        warned,
        findings: findings.map((finding) => ({ ...finding, advice: finding.advice ?? null })),
      })
    else await call.terminal.line(`\n${failed} failed, ${warned} warnings, ${findings.length - failed - warned} ok`)
    return failed > 0 ? 1 : 0
  },
}
