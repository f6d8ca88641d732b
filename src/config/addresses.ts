// Checks the network addresses of the configuration. The results say what is wrong and never repeat the address,
// because it may contain a password.
import { accessSync, constants } from 'node:fs'

type Checked = { readonly url: URL } | { readonly problem: string }

const parts = ['username', 'password', 'pathname', 'search'] as const

/** Parses the address of a server that we log in to: scheme, host, and whatever the server's client understands. */
export const parseServerAddress = (text: string, schemes: readonly string[]): Checked => {
  const example = `${schemes[0]}://user:password@host`
  if (!URL.canParse(text)) {
    return {
      problem: `is not a valid address such as ${example}: in user and password, write special characters as %XX`,
    }
  }
  const url = new URL(text)
  if (!schemes.includes(url.protocol.slice(0, -1)))
    return { problem: `must begin with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}` }
  // An address of PostgreSQL over a Unix socket has no host, but names the socket in ?host=.
  if (url.hostname === '' && !url.searchParams.get('host')) return { problem: `names no host: write it as ${example}` }
  try {
    // A NUL ends a value in PostgreSQL's protocol, for example; the server would read the rest as the next value.
    if (parts.some((part) => decodeURIComponent(url[part]).includes('\0')))
      return { problem: 'has a %00 in it, which no server takes' }
  } catch {
    return { problem: 'has a % that is not followed by two hex digits: write % itself as %25' }
  }
  return { url }
}

/**
 * Parses the address of a web service, to which paths are added: scheme, host, perhaps a path. `base` has no final
 * slash.
 */
export const parseWebAddress = (
  text: string,
): { readonly url: URL; readonly base: string } | { readonly problem: string } => {
  if (!URL.canParse(text)) return { problem: 'is not a valid address such as https://consents.example.com' }
  const url = new URL(text)
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return { problem: 'must begin with https://' }
  if (url.username !== '' || url.password !== '') return { problem: 'must not hold a user or password' }
  if (url.search !== '' || url.hash !== '' || /[?#]/.test(text))
    return { problem: 'must end with its host or path, without ? or #' }
  return { url, base: `${url.origin}${url.pathname}`.replace(/\/+$/, '') }
}

/** The problem with the first file that an address names in its parameters and that cannot be read, if there is one. */
export const unreadableFile = (files: { readonly [Name in 'ca' | 'cert' | 'key']?: string }): string | undefined => {
  for (const name of ['ca', 'cert', 'key'] as const) {
    try {
      if (files[name] !== undefined) accessSync(files[name], constants.R_OK)
    } catch (error) {
      return `names a file in ${name} that cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unreadable'})`
    }
  }
  return undefined
}
