// Turns the sslmode, sslrootcert, sslcert and sslkey of an address into connection options, with the meanings that
// libpq gives them. Reads the files; messages name the parameter and the system's error code, never a file's contents.
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { nearest } from '../config/suggest.ts'

export const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof sslModes)[number]

export interface Tls {
  readonly mode: SslMode
  /** Not used with mode `disable`. */
  readonly options: ConnectionOptions
  /**
   * What is checked of the server's certificate: nothing, that a trusted authority signed it, or also that it was
   * issued for this host.
   */
  readonly verifies: 'nothing' | 'chain' | 'host'
}

type Complain = (problem: string) => void
type Find = (name: string) => string | undefined

const SYSTEM = 'system'

const isCertificates = (pem: string): boolean => {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? []
  try {
    for (const one of found) void new X509Certificate(one)
    return found.length > 0
  } catch {
    return false
  }
}

const keyOf = (pem: string, passphrase: string | undefined): KeyObject | undefined => {
  try {
    return createPrivateKey({ key: pem, ...(passphrase === undefined ? {} : { passphrase }) })
  } catch {
    return undefined
  }
}

/**
 * Without any of these parameters, TLS is not used. Returns undefined if something is wrong with them, after reporting
 * it to `complain`.
 */
export const readTls = (find: Find, complain: Complain): Tls | undefined => {
  let isValid = true
  const refuse: Complain = (problem) => {
    isValid = false
    complain(problem)
  }
  const read = (name: string): string | undefined => {
    const file = find(name)
    if (file === undefined || (name === 'sslrootcert' && file === SYSTEM)) return undefined
    try {
      return readFileSync(file, 'utf8')
    } catch (error) {
      refuse(`${name} names a file that cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`)
      return undefined
    }
  }

  const root = find('sslrootcert')
  const [ca, cert, key] = [read('sslrootcert'), read('sslcert'), read('sslkey')]
  const said = find('sslmode')
  const mode =
    said === undefined
      ? root === undefined && find('sslcert') === undefined
        ? 'disable'
        : 'verify-full'
      : sslModes.find((known) => known === said)
  if (mode === undefined) {
    const meant = nearest(said ?? '', sslModes)
    refuse(`sslmode must be one of ${sslModes.join(', ')}${meant === undefined ? '' : `: did you mean ${meant}?`}`)
    return undefined
  }
  if (ca !== undefined && !isCertificates(ca)) refuse('sslrootcert names a file that holds no certificates in PEM')
  if (mode === 'verify-ca' && (root === undefined || root === SYSTEM)) {
    refuse(
      'sslmode=verify-ca needs the authority in sslrootcert: anybody can have a certificate of a public one. ' +
        'With a public one, say verify-full',
    )
  }
  if (root === SYSTEM && said !== undefined && mode !== 'verify-full')
    refuse('sslrootcert=system goes with sslmode=verify-full alone')
  checkPair({ cert, key, passphrase: find('sslpassword'), given: [find('sslcert'), find('sslkey')] }, refuse)
  if (!isValid) return undefined

  const own =
    cert === undefined || key === undefined
      ? {}
      : { cert, key, ...(find('sslpassword') === undefined ? {} : { passphrase: find('sslpassword') }) }
  const verifies =
    mode === 'verify-full'
      ? 'host'
      : mode === 'verify-ca' || (mode === 'require' && ca !== undefined)
        ? 'chain'
        : 'nothing'
  const check: Record<Tls['verifies'], ConnectionOptions> = {
    nothing: { rejectUnauthorized: false },
    chain: { checkServerIdentity: () => undefined },
    host: {},
  }
  return {
    mode,
    verifies,
    options: { ...own, ...(ca === undefined || verifies === 'nothing' ? {} : { ca }), ...check[verifies] },
  }
}

interface Pair {
  readonly cert: string | undefined
  readonly key: string | undefined
  readonly passphrase: string | undefined
  readonly given: readonly (string | undefined)[]
}

const checkPair = ({ cert, key, passphrase, given: [certFile, keyFile] }: Pair, refuse: Complain): void => {
  if ((certFile === undefined) !== (keyFile === undefined))
    refuse('sslcert and sslkey go together: give both or neither')
  if (cert !== undefined && !isCertificates(cert)) refuse('sslcert names a file that holds no certificate in PEM')
  else if (key !== undefined) {
    const opened = keyOf(key, passphrase)
    if (opened === undefined)
      refuse(
        'sslkey names a file that holds no private key in PEM that can be opened; sslpassword opens an encrypted one',
      )
    else if (cert !== undefined && !new X509Certificate(cert).checkPrivateKey(opened))
      refuse('sslkey is not the key of the certificate in sslcert')
  }
}
