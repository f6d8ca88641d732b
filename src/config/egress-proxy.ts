// HTTPS_PROXY and NO_PROXY: the proxy through which the provider is reached. The lower-case names take precedence, as
// with curl and Node.
import { Secret } from '../secret.ts'
import { parseServerAddress } from './addresses.ts'
import type { Report } from './problems.ts'
import type { VariableReader } from './variables.ts'

export interface ProxySection {
  readonly url: Secret
  readonly bypass: readonly string[]
}

/** Undefined without a proxy. `wrong` when the proxy's address is unusable, which is then reported. */
export const readProxy = (variables: VariableReader, report: Report): ProxySection | undefined | 'wrong' => {
  const where = variables.find('https_proxy') === undefined ? 'HTTPS_PROXY' : 'https_proxy'
  const text = variables.find(where)
  if (text === undefined) return undefined
  const checked = parseServerAddress(text, ['http', 'https'])
  const url = 'url' in checked ? checked.url : undefined
  if ('problem' in checked) report(where, `${checked.problem}; without a proxy, leave it out`)
  else if (!/^https?:\/\//i.test(text)) report(where, 'must begin with http:// or https://')
  else if (checked.url.pathname !== '/' || /[?#]/.test(text))
    report(where, 'must end with its host and port: in user and password, write special characters as %XX')
  else if (url !== undefined) {
    const bypass = (variables.find('no_proxy') ?? variables.find('NO_PROXY') ?? '')
      .split(/[\s,]+/)
      .filter((entry) => entry !== '')
    return { url: new Secret(url.href), bypass }
  }
  return 'wrong'
}
