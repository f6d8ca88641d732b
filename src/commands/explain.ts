// `explain ID`: shows why a consent has its present status, and what comes next.
import type { DateTime } from 'luxon'
import { explain, explainedJson, nextActionWords, type Explanation } from '../presentation/explanation.ts'
import { consentId, type Define, examples, json } from './command.ts'
import { getConsent, orNoSuchConsent, withStore } from './open.ts'
import type { Terminal } from './terminal.ts'
import { table, whenText } from './text.ts'

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      `Shows every rule that was evaluated and which one decided, what is next and when, the state of each rung of
the ladder, what a code that arrived is waiting for, and which due messages are not sent, and why. Evaluates
the same rules as the jobs; changes nothing.`,
    )
    .argument(...consentId)
    .addOption(json)
    .addHelpText('after', examples('reconsent explain cred-123'))
    .action(exits(async (given, options) => explainConsent(terminal, given, options.json)))

const explainConsent = async (terminal: Terminal, given: string, asJson = false): Promise<number> =>
  withStore([], async ({ store, clock, config }) => {
    const { id } = await getConsent(store, given)
    const view = orNoSuchConsent(await store.getView(id))
    const now = clock.now()
    const explanation = explain(view, now, config.policy)
    if (asJson) {
      await terminal.json(explainedJson(view, now, config.policy))
      return 0
    }
    const { consent } = view
    await terminal.line(
      `${consent.id} (${consent.credentialsId}) is ${consent.status}, ${explanation.phase}, cycle ${consent.cycle}\n`,
    )
    await terminal.line(sections(explanation, now).join('\n\n'))
    await terminal.line(
      `\nRecorded: next look ${whenText(consent.nextActionAt, now)}` +
        (consent.nextActionReason === undefined ? '' : `, ${consent.nextActionReason}`),
    )
    return 0
  })

const sections = (explanation: Explanation, now: DateTime): string[] => {
  const { trail, next, rungs, attempts, suppressed } = explanation
  return [
    table([
      ['window opens', whenText(explanation.windowOpensAt, now)],
      ['expires', whenText(explanation.expiresAt, now)],
      ['grace ends', whenText(explanation.graceEndsAt, now)],
      ['policy', explanation.rule],
      ['routes', explanation.routes.join(', then ') || 'none'],
    ]),
    `Rules, in order\n` +
      table(trail.map(({ rule, decided, detail }) => [`  ${decided ? '=>' : '  '} ${rule}`, detail])),
    `Next: ${nextActionWords(next)}\n  because ${next.reason}`,
    `Messages\n` +
      table(
        rungs.map(({ rung, channel, at, state, detail }) => [
          `  ${rung}`,
          at === undefined ? '' : whenText(at, now),
          channel === undefined ? state : `${state} (${channel})`,
          detail ?? '',
        ]),
      ),
    ...(attempts.length === 0
      ? []
      : [
          `Codes whose outcome is not known yet\n` +
            table(
              attempts.map(({ id, status, at, code, awaitedUntil, step }) => [
                `  ${id}`,
                status,
                `${whenText(at, now)}${code === undefined ? '' : ` (${code})`}`,
                awaitedUntil === undefined ? '' : `awaited until ${whenText(awaitedUntil, now)}`,
                `${step.do}: ${step.reason}`,
              ]),
            ),
        ]),
    suppressed.length === 0 ? 'Suppressed: nothing' : `Suppressed\n${suppressed.map((line) => `  ${line}`).join('\n')}`,
  ]
}
