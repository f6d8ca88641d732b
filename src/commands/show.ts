// `show ID`: prints everything about one consent except its secrets and addresses.
import { type ChannelName, isNeverMessaged, reachableBy } from '../domain/channels.ts'
import { awaitedUntil } from '../domain/in-progress.ts'
import type { Consent } from '../domain/model.ts'
import { channelProblem } from '../domain/reach.ts'
import { historyJson } from '../presentation/consent-json.ts'
import type { ConsentHistory } from '../store/administration-port.ts'
import { consentId, type Define, examples, json } from './command.ts'
import { getConsent, orNoSuchConsent, withStore } from './open.ts'
import { dateText, table, whenText } from './text.ts'
import type { DateTime } from 'luxon'

export const define: Define = (command, { terminal, exits }) =>
  command
    .description(
      'Shows one consent with its renewals, attempts at the bank, messages and events. No token, link or address ' +
        'is shown.',
    )
    .argument(...consentId)
    .addOption(json)
    .addHelpText('after', examples('reconsent show cred-123', "reconsent show cred-123 --json | jq '.events[-1]'"))
    .action(
      exits(async (given, options) =>
        withStore([], async ({ store, clock, config }) => {
          const { id } = await getConsent(store, given)
          const history = orNoSuchConsent(await store.getHistory(id))
          const now = clock.now()
          const shown = historyJson(history, now, config.policy)
          if (options.json) await terminal.json(shown)
          else
            await terminal.line(
              sections(history, { phase: shown.phase, now, channels: config.policy.channels }).join('\n\n'),
            )
          return 0
        }),
      ),
    )

const tokenWords = ({ tokenAcceptedAt, tokenRejectedAt, candidate }: Consent, now: DateTime): string =>
  [
    tokenAcceptedAt === undefined ? 'not used yet' : `accepted ${whenText(tokenAcceptedAt, now)}`,
    ...(tokenRejectedAt === undefined ? [] : [`rejected since ${whenText(tokenRejectedAt, now)}`]),
    ...(candidate === undefined ? [] : [`another one was imported ${whenText(candidate.arrivedAt, now)}`]),
  ].join(', ')

const sections = (
  { consent, renewals, authorisations, notifications, events }: ConsentHistory,
  { phase, now, channels }: { phase: string; now: DateTime; channels: readonly ChannelName[] },
): string[] => {
  const thisCycle = notifications.filter(({ cycle }) => cycle === consent.cycle)
  const unreached = channelProblem({ consent, notifications: thisCycle }, channels)
  const facts = [
    ['id', consent.id],
    ['credentials_id', consent.credentialsId],
    ['user_id', consent.userId],
    [
      'bank',
      consent.providerId +
        (consent.providerName === undefined ? '' : ` (${consent.providerName})`) +
        `, ${consent.country}`,
    ],
    ['status', `${consent.status}, ${phase}, cycle ${consent.cycle}`],
    ['expires', `${whenText(consent.expiresAt, now)}, by ${consent.expiresSource}`],
    [
      'next look',
      whenText(consent.nextActionAt, now) +
        (consent.nextActionReason === undefined ? '' : `: ${consent.nextActionReason}`),
    ],
    ['token', tokenWords(consent, now)],
    [
      'address',
      isNeverMessaged(consent)
        ? 'not used: never messaged, since its channels are empty'
        : reachableBy(consent, channels).length === 0
          ? 'none (no-channel)'
          : unreached === undefined
            ? 'there is one'
            : `no-channel: ${unreached}`,
    ],
    ...(consent.lastErrorCode === undefined
      ? []
      : [
          [
            'last error',
            `${consent.lastErrorCode}, ${consent.failedAttempts} attempts failed` +
              (consent.outages === 0 ? '' : `, outage ${consent.outages} in a row`),
          ],
        ]),
    ...(consent.supersededById === undefined ? [] : [['superseded by', consent.supersededById]]),
  ]
  const part = (title: string, header: readonly string[], rows: readonly (readonly string[])[]): string =>
    rows.length === 0
      ? `${title}: none`
      : `${title}\n` +
        table([header, ...rows].map((row) => row.map((cell, index) => (index === 0 ? `  ${cell}` : cell))))
  return [
    table(facts),
    part(
      'Renewals',
      ['CYCLE', 'STATUS', 'ROUTE', 'OPENED', 'CLOSED', 'WHY'],
      renewals.map((renewal) => [
        String(renewal.cycle),
        renewal.status,
        renewal.route ?? '-',
        dateText(renewal.openedAt),
        dateText(renewal.closedAt),
        renewal.reason,
      ]),
    ),
    part(
      'Attempts at the bank',
      ['ISSUED', 'STATUS', 'ROUTE', 'HANDED OUT', 'CODE', 'NEXT LOOK', 'AWAITED UNTIL', 'ERROR'],
      authorisations.map((attempt) => [
        dateText(attempt.issuedAt),
        attempt.status,
        attempt.route,
        dateText(attempt.handedOutAt),
        dateText(attempt.codeReceivedAt),
        dateText(awaitedUntil(attempt) && attempt.nextActionAt),
        dateText(awaitedUntil(attempt)),
        attempt.errorCode ?? '-',
      ]),
    ),
    part(
      'Messages',
      ['CYCLE', 'RUNG', 'CHANNEL', 'STATUS', 'SENT', 'ERROR'],
      notifications.map((message) => [
        String(message.cycle),
        message.rung,
        message.channel,
        message.repeatedAt === undefined ? message.status : `${message.status}, repeated`,
        dateText(message.sentAt),
        message.errorCode ?? '-',
      ]),
    ),
    part(
      'Events',
      ['SEQ', 'AT', 'EVENT', 'BY', 'WHY'],
      events.map((event) => [String(event.seq), dateText(event.at), event.type, event.actor, event.reason ?? '']),
    ),
  ]
}
