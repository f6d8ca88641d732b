// Checks that the channels' servers, the provider and our own public address are reachable and correctly set up.
import type { Sections, Timing } from '../config.ts'
import { channelMakers, type Shared } from '../notify/channels.ts'
import type { Channel } from '../notify/port.ts'
import { truelayerProvider } from '../provider/truelayer/client.ts'
import { goesByProxy } from '../provider/truelayer/egress-proxy.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

const PUBLIC_URL_TIMEOUT_MS = 5_000
const CHANNEL_TIMEOUTS = { connectMs: 5_000, silenceMs: 10_000, totalMs: 15_000 }

export async function* channelFindings(settings: Sections['channels']): AsyncGenerator<Finding> {
  for (const [name, make] of channelMakers(settings)) yield await channelFinding(name, make)
}

const channelFinding = async (name: string, make: (shared: Shared) => Channel): Promise<Finding> => {
  try {
    // Loaded here, so that broken texts are a finding too and do not end the diagnosis.
    const { texts } = await import('../texts/own-texts.ts')
    const channel = make({ texts, timeouts: CHANNEL_TIMEOUTS })
    const answer = await channel.check()
    channel.close()
    const { check, advice } = channel.diagnosis
    return answer.ok ? ok(check, answer.detail) : fail(check, answer.detail, advice)
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'the channel could not be checked'
    return fail(name, detail, `check the variables of the channel ${name}: see docs/configuration.md`)
  }
}

/** Whether calls to the provider go through the proxy. Of the proxy's address, user and password are not shown. */
const wayOf = ({
  proxy,
  authUrl,
  apiUrl,
}: Sections['provider']): { readonly words: string; readonly advice: string } => {
  if (proxy === undefined) return { words: '', advice: '' }
  const { host } = new URL(proxy.url.reveal())
  const proxied = [authUrl, apiUrl].filter((url) => goesByProxy(url, proxy))
  if (proxied.length === 0) return { words: '; asked directly, past HTTPS_PROXY', advice: '' }
  const which = proxied.length === 2 ? '' : `, for ${proxied.map((url) => new URL(url).host).join()} alone`
  return { words: `; through the proxy ${host}${which}`, advice: ', and HTTPS_PROXY and NO_PROXY' }
}

export async function* providerFindings(provider: Sections['provider'], timing: Timing): AsyncGenerator<Finding> {
  const answer = await truelayerProvider({
    ...provider,
    requestTimeoutMs: timing.requestTimeout.toMillis(),
  }).checkCredentials()
  const { words, advice } = wayOf(provider)
  yield answer.ok
    ? ok('provider', `${answer.detail}${words}`)
    : fail(
        'provider',
        `${answer.detail}${words}`,
        `check TRUELAYER_CLIENT_ID, TRUELAYER_CLIENT_SECRET and the two TRUELAYER_*_URL${advice}`,
      )
}

/**
 * Users' browsers reach the address from outside; the best check available here is whether this machine can reach it.
 */
export async function* publicUrlFindings({ publicUrl }: Sections['web']): AsyncGenerator<Finding> {
  const { protocol, host } = new URL(publicUrl)
  if (protocol !== 'https:')
    yield warn('public url', `${host} is not https`, 'use https for anything but a trial on this machine')
  const advice =
    'start the role web and see that PUBLIC_URL leads to it; from inside, a firewall or split DNS may also be ' +
    'the reason'
  try {
    const answer = await fetch(`${publicUrl}/livez`, {
      redirect: 'manual',
      signal: AbortSignal.timeout(PUBLIC_URL_TIMEOUT_MS),
    })
    await answer.body?.cancel()
    yield answer.ok
      ? ok('public url', `${host} answers`)
      : warn('public url', `${host} answers ${answer.status} at /livez`, advice)
  } catch {
    yield warn('public url', `${host} does not answer from here`, advice)
  }
}
