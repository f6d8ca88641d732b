// For `doctor`: checks whether the client id and secret are accepted. It sends a made-up token and a made-up code, so
// no connection is affected.
import { errorTable } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { TokenAnswer } from '../port.ts'
import { isSuccess } from './failures.ts'
import type { Send } from './http.ts'
import { exchangeCode, refresh } from './tokens.ts'
import type { Client } from './tokens.ts'

const madeUp = () => new Secret('reconsent-credential-check')

/** The provider accepted the client and judged the grant: id and secret are valid. */
const accepted = (answer: TokenAnswer): boolean => answer.kind === 'refused' || answer.kind === 'tokens'
const rejected = (answer: TokenAnswer): boolean => answer.kind === 'not-processed' && answer.code === 'client-rejected'

const whyNot = (answer: TokenAnswer): string =>
  answer.kind === 'not-processed' || answer.kind === 'in-doubt' ? errorTable[answer.code].message : 'no reason given'

const undecided = (answer: TokenAnswer) => ({ ok: false, detail: `could not be found out: ${whyNot(answer)}` })

/**
 * `GET {auth}/api/providers?clientId=`: how many banks the provider lists. This is only supporting evidence, because
 * the call takes no secret.
 */
const bankCount = async (send: Send, client: Client): Promise<string> => {
  const reply = await send({
    name: 'providers',
    url: `${client.authUrl}/api/providers?clientId=${encodeURIComponent(client.clientId)}`,
    largestBody: 16 * 1024 * 1024,
  })
  const none = 'its list of banks for this client id could not be read'
  if (reply.kind === 'no-answer' || !isSuccess(reply.status)) return none
  try {
    const banks: unknown = JSON.parse(reply.body.reveal())
    return Array.isArray(banks) ? `it lists ${banks.length} banks for this client id` : none
  } catch {
    return none
  }
}

/**
 * `invalid_client` for a made-up refresh token does not by itself prove wrong credentials: TrueLayer has been seen to
 * answer so with valid ones (public reports of its clients; its documentation is silent). They count as rejected only
 * when a made-up code gets the same answer.
 */
export const checkCredentials = async (send: Send, client: Client): Promise<{ ok: boolean; detail: string }> => {
  const byToken = await refresh(send, client, madeUp())
  if (accepted(byToken)) {
    const detail = 'accepted: the provider refused a made-up refresh token but not the client'
    return { ok: true, detail: `${detail}; ${await bankCount(send, client)}` }
  }
  if (!rejected(byToken)) return undecided(byToken)
  const byCode = await exchangeCode(send, client, {
    code: madeUp(),
    redirectUri: 'https://localhost/',
    codeVerifier: madeUp(),
  })
  if (accepted(byCode)) {
    const detail =
      'accepted: the provider answered invalid_client to a made-up refresh token, but refused a made-up code without it'
    return { ok: true, detail: `${detail}; ${await bankCount(send, client)}` }
  }
  if (!rejected(byCode)) return undecided(byCode)
  const detail =
    'rejected (invalid_client) with a made-up token and with a made-up code: wrong id or secret, or the other ' +
    'environment’s'
  return {
    ok: false,
    detail: `${detail}; right after a change of secret, try again in a minute; ${await bankCount(send, client)}`,
  }
}
