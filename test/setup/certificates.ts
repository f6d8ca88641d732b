// Certificates for a test server, made by openssl: an authority, a server's, a client's, and certificates that are each
// wrong in one way.
import { execFile } from 'node:child_process'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findProgram } from './program.ts'

export interface Pair {
  readonly cert: string
  readonly key: string
}

const run = promisify(execFile)

export const makeCertificates = async () => {
  const openssl = await findProgram({ names: ['openssl'], debianPackage: 'openssl' })
  const folder = await mkdtemp(join(tmpdir(), 'reconsent-certificates-'))
  const at = (name: string): string => join(folder, name)
  const key = async (name: string): Promise<string> => {
    await run(openssl, ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', at(`${name}.key`)])
    return at(`${name}.key`)
  }
  const authority = async (name: string): Promise<Pair> => {
    const own = await key(name)
    await run(openssl, [
      'req',
      '-x509',
      '-new',
      '-key',
      own,
      '-days',
      '30',
      '-subj',
      `/CN=${name}`,
      '-addext',
      'basicConstraints=critical,CA:true',
      '-out',
      at(`${name}.crt`),
    ])
    return { cert: at(`${name}.crt`), key: own }
  }
  /** Valid from `from` to `to`, in days from now, signed by `by`. */
  const signed = async (
    name: string,
    by: Pair,
    { alt, from = -1, to = 30 }: { alt?: string; from?: number; to?: number },
  ): Promise<Pair> => {
    const own = await key(name)
    const date = (days: number): string =>
      `${new Date(Date.now() + days * 86_400_000).toISOString().replaceAll(/[-:T]/g, '').slice(0, 14)}Z`
    await run(openssl, ['req', '-new', '-key', own, '-subj', `/CN=${name}`, '-out', at(`${name}.csr`)])
    const ini = [
      '[ca]',
      'default_ca=one',
      '[one]',
      `database=${at(`${name}.index`)}`,
      `serial=${at(`${name}.serial`)}`,
      `new_certs_dir=${folder}`,
      'default_md=sha256',
      'policy=any',
      'unique_subject=no',
      'email_in_dn=no',
      'rand_serial=yes',
      ...(alt === undefined ? [] : ['x509_extensions=ext']),
      '[any]',
      'commonName=supplied',
      ...(alt === undefined ? [] : ['[ext]', `subjectAltName=${alt}`]),
      '',
    ]
    await writeFile(at(`${name}.ini`), ini.join('\n'))
    await writeFile(at(`${name}.index`), '')
    await run(openssl, [
      'ca',
      '-batch',
      '-notext',
      '-config',
      at(`${name}.ini`),
      '-cert',
      by.cert,
      '-keyfile',
      by.key,
      '-in',
      at(`${name}.csr`),
      '-out',
      at(`${name}.crt`),
      '-startdate',
      date(from),
      '-enddate',
      date(to),
    ])
    return { cert: at(`${name}.crt`), key: own }
  }
  return { folder, authority, signed }
}
