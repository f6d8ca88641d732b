// HTTPS_PROXY and NO_PROXY: the proxy through which the provider is reached. The lower-case names take precedence, as
// with curl and Node.
import { Secret } from '../secret.ts'
import { parseServerAddress } from './addresses.ts'

interface ProxyVariables {
  readonly https_proxy?: string | undefined
  readonly HTTPS_PROXY?: Secret | undefined
  readonly no_proxy?: string | undefined
  readonly NO_PROXY?: string | undefined
}

export interface ProxySection {
  readonly url: Secret
  readonly bypass: readonly string[]
}

/** Undefined without a proxy. A problem comes with the name of the variable that it is about. */
export const readProxy = (
  variables: ProxyVariables,
): ProxySection | undefined | { readonly where: 'https_proxy' | 'HTTPS_PROXY'; readonly problem: string } => {
  const where = variables.https_proxy === undefined ? 'HTTPS_PROXY' : 'https_proxy'
  const text = variables.https_proxy ?? variables.HTTPS_PROXY?.reveal()
  if (text === undefined) return undefined
  const checked = parseServerAddress(text, ['http', 'https'])
  if ('problem' in checked) return { where, problem: `${checked.problem}; without a proxy, leave it out` }
  if (!/^https?:\/\//i.test(text)) return { where, problem: 'must begin with http:// or https://' }
  if (checked.url.pathname !== '/' || /[?#]/.test(text)) {
    const problem = 'must end with its host and port: in user and password, write special characters as %XX'
    return { where, problem }
  }
  const bypass = (variables.no_proxy ?? variables.NO_PROXY ?? '').split(/[\s,]+/).filter((entry) => entry !== '')
  return { url: new Secret(checked.url.href), bypass }
}
