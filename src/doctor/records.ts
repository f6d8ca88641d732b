// Checks the stored records: do sweeps take place, and what waits for an operator?
import { DateTime, Duration } from 'luxon'
import { lockedVault } from '../crypto/vault.ts'
import { addressFields, type ChannelName } from '../domain/channels.ts'
import { tooOldAfter } from '../processors/watch-sweep.ts'
import type { Secret } from '../secret.ts'
import { losesCodes } from '../http/served-address.ts'
import { countPlainCallbacks, listCallbacks } from '../store/redirect-uris.ts'
import { dispatching } from '../store/dispatching.ts'
import { openDatabase } from '../store/database.ts'
import { listing } from '../store/listing.ts'
import { webhookAdministration } from '../store/webhook-endpoints.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Used when the cron pattern is not known. No watchdog waits longer than an hour. */
const MAX_INTERVAL = Duration.fromObject({ hours: 1 })

export interface RecordRules {
  /** Time between two sweeps. */
  readonly interval?: Duration | undefined
  readonly httpsOnly: boolean
  /** The channels in use. */
  readonly channels: readonly ChannelName[]
  readonly publicUrl?: string | undefined
}

export async function* recordFindings(
  url: Secret,
  { interval, httpsOnly, channels, publicUrl }: RecordRules,
): AsyncGenerator<Finding> {
  const db = openDatabase({ url, vault: lockedVault, connections: 4 })
  try {
    const now = DateTime.utc()
    const [since, counts, plain, disabledWebhooks] = await Promise.all([
      dispatching(db).sinceLastSweep(),
      listing(db, channels).statusCounts(now),
      countPlainCallbacks(db),
      webhookAdministration(db).countDisabled(),
    ])
    if (since === undefined) yield warn('sweep', 'there has been none yet', 'start the role scheduler')
    else {
      // The watchdog's limit: after it, the watchdog sweeps itself.
      const tooOld = tooOldAfter(interval ?? MAX_INTERVAL)
      const words = `the last successful sweep was ${Math.round(since.as('minutes'))} minutes ago`
      yield since.toMillis() > tooOld.toMillis()
        ? warn('sweep', words, 'see that a scheduler runs, and its log')
        : ok('sweep', words)
    }
    const total = Object.values(counts.consents).reduce((sum, number) => sum + number, 0)
    yield ok(
      'consents',
      total === 0
        ? 'none yet'
        : Object.entries(counts.consents)
            .filter(([, number]) => number > 0)
            .map(([status, number]) => `${number} ${status}`)
            .join(', '),
    )
    yield aboutCallbacks(plain, httpsOnly)
    if (publicUrl !== undefined) yield* aboutOwnCallbacks(await listCallbacks(db), publicUrl)
    for (const circuit of counts.openCircuits)
      yield warn(
        'provider calls',
        `circuit open since ${circuit.since.toISO()} (${circuit.code})`,
        'check the client id and secret; see docs/runbook.md#client-rejected',
      )
    if (counts.consents.quarantined > 0)
      yield warn(
        'quarantine',
        `${counts.consents.quarantined} consents`,
        'reconsent list --status quarantined, then show and release or close each',
      )
    if (counts.withoutChannel > 0)
      yield warn(
        'no channel',
        `${counts.withoutChannel} active consents have no usable address`,
        `reconsent list --no-channel; import them with an address (${addressFields(channels).join(' or ')})`,
      )
    if (counts.authorisationsInDoubt > 0)
      yield warn(
        'exchanges in doubt',
        `${counts.authorisationsInDoubt} are being settled`,
        'see docs/runbook.md#exchange-in-doubt',
      )
    if (counts.uncertainNotifications > 0)
      yield warn(
        'uncertain messages',
        `${counts.uncertainNotifications} may or may not have arrived`,
        'they are not sent again; reconsent renew ID --resend where a user misses one',
      )
    if (disabledWebhooks > 0)
      yield warn(
        'webhooks',
        `${disabledWebhooks} endpoints were disabled`,
        'reconsent webhooks list; see docs/runbook.md#webhook-disabled',
      )
  } finally {
    await db.prisma.$disconnect()
  }
}

const aboutCallbacks = (plain: number, httpsOnly: boolean): Finding => {
  if (plain === 0) return ok('callbacks', 'every redirect_uri is https')
  const words = `${plain} consents have a redirect_uri that is not https`
  if (!httpsOnly) return ok('callbacks', `${words}, as a trial may`)
  return fail(
    'callbacks',
    words,
    'start refuses them in production: import them again with the https one that is registered with the ' +
      'provider, or close them',
  )
}

/** Only the path is shown, because a query may contain anything. */
const aboutOwnCallbacks = (callbacks: Awaited<ReturnType<typeof listCallbacks>>, publicUrl: string): Finding[] =>
  callbacks
    .filter(({ redirectUri }) => losesCodes(redirectUri, publicUrl))
    .map(({ redirectUri, consents }) =>
      fail(
        'callbacks',
        `${consents} consents have the redirect_uri ${new URL(redirectUri).pathname} on our own host, which ` +
          'takes no code: ' +
          'nothing answers there, or its own query has a code, state or error',
        `let the proxy in front lead it to /callback, or import them again with ${publicUrl}/callback ` +
          'registered with the provider',
      ),
    )
