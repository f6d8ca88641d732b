// The whole diagnosis in order. Each part of the configuration is checked separately, so that a wrong part hides no
// problem of another.
import { ConfigError, configFromProcess, type Config, type Need, requiresHttps } from '../config.ts'
import { usualChannels } from '../config/policy-schema.ts'
import { intervalOf } from '../queue/cron.ts'
import { databaseFindings } from './database.ts'
import { type Finding, fail, ok, warn } from './finding.ts'
import { instantFindings } from './instants.ts'
import { keyFindings } from './keys.ts'
import { channelFindings, providerFindings, publicUrlFindings } from './outside.ts'
import { queueFindings } from './queue.ts'
import { recordFindings } from './records.ts'

/** The configuration of one part, or its problems as findings. */
const part = async <const N extends Need>(
  needs: readonly N[],
  policy?: object,
): Promise<{ config: Config<N> } | { findings: Finding[] }> => {
  try {
    return { config: await configFromProcess({ needs, ...(policy === undefined ? {} : { policy }) }) }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return {
      findings: error.problems.map(({ where, what }) =>
        fail('configuration', `${where} ${what}`, 'docs/configuration.md says what it may be, and where it is set'),
      ),
    }
  }
}

export async function* diagnose(): AsyncGenerator<Finding> {
  yield ok('node', `Node ${process.versions.node}`)

  // The policy is checked together with `web`, which needs most of it; the other parts are checked without it.
  const web = await part(['web'])
  if ('findings' in web) yield* web.findings
  else {
    yield ok('configuration', 'policy and web are sound')
    for (const warning of web.config.warnings) yield warn('policy', warning, 'users read this name in every message')
    yield* publicUrlFindings(web.config.web)
  }

  const inUse = 'findings' in web ? usualChannels : web.config.policy.channels

  const database = await part(['database'], {})
  const keys = await part(['keys'], {})
  if ('findings' in database) yield* database.findings
  else {
    const isUsable = yield* databaseFindings(database.config.database.url)
    if ('findings' in keys) yield* keys.findings
    else if (isUsable) yield* keyFindings(database.config.database.url, keys.config.keys)
    if (isUsable) {
      yield* instantFindings(database.config.database.url)
      const known =
        'findings' in web
          ? {}
          : { interval: intervalOf(web.config.policy.sweep.cron), publicUrl: web.config.web.publicUrl }
      const httpsOnly = requiresHttps(database.config)
      yield* recordFindings(database.config.database.url, { ...known, httpsOnly, channels: inUse })
    }
  }
  if ('findings' in database && 'findings' in keys) yield* keys.findings

  const queue = await part(['queue'], {})
  yield* 'findings' in queue ? queue.findings : queueFindings(queue.config.queue)

  const channels = await part(['channels'], { company: { name: '-' }, channels: inUse })
  yield* 'findings' in channels ? channels.findings : channelFindings(channels.config.channels)

  const provider = await part(['provider'], {})
  yield* 'findings' in provider ? provider.findings : providerFindings(provider.config.provider, provider.config.timing)
}
