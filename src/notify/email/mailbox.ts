// The only judge of mail addresses: of MAIL_FROM, of an import's `email`, and of an address sent to a mail server.
// Refuses every address that nodemailer, which reads it last, would take for something else: another mailbox, a second
// one, a shortened name. Names a problem, never a value.
import { domainToASCII } from 'node:url'
import addressparser from 'nodemailer/lib/addressparser'

export interface Sender {
  readonly name: string
  readonly address: string
}

/** RFC 5321 4.5.3.1, in octets. */
const MAX_LOCAL_LENGTH = 64
const MAX_DOMAIN_LENGTH = 253
const MAX_NAME_LENGTH = 200

/**
 * SPECIALS end an address or begin another one; UNSEEN are characters that nobody can see. Quoted local parts are legal
 * but refused: no user has one, attacks do.
 */
const SPECIALS = /[<>()[\]\\,;:"]/
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\u034F\u115F\u1160\u3164\uFFA0\uFFFD]/u
const LABEL = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$/

const isAscii = (text: string): boolean => /^[\x21-\x7e]*$/.test(text)

const domainProblem = (domain: string): string | undefined => {
  // Letters beyond ASCII are mapped (RFC 5891). Characters that the mapping would decode or drop, such as %2e or a
  // slash, must not reach it.
  if (!/^[A-Za-z0-9._\-\u{80}-\u{10FFFF}]+$/u.test(domain)) return 'has a domain that is none'
  const ascii = isAscii(domain) ? domain : domainToASCII(domain)
  const labels = ascii.split('.')
  if (ascii.length > MAX_DOMAIN_LENGTH || !labels.every((label) => LABEL.test(label)))
    return 'has a domain that is none'
  // Such a domain would be read as an IP address and rewritten.
  return /^(?:\d+|0x[0-9a-f]*)$/i.test(labels.at(-1) ?? '') ? 'has a domain that ends in a number' : undefined
}

/** Why the address is not one plain mailbox, `local@domain`; undefined when it is one. */
export const mailboxProblem = (address: string): string | undefined => {
  if (UNSEEN.test(address)) return 'holds a character that is not to be seen'
  if (/\s/.test(address)) return 'holds a space'
  if (SPECIALS.test(address)) return 'holds one of < > ( ) [ ] , ; : " \\'
  // Some programs on the way decode an encoded word (RFC 2047), and then read another address.
  if (address.includes('=?')) return 'holds something encoded'
  const [local = '', domain, ...more] = address.split('@')
  if (domain === undefined) return 'has no @'
  if (more.length > 0) return 'has more than one @'
  if (local === '' || Buffer.byteLength(local) > MAX_LOCAL_LENGTH) return 'has nothing, or far too much, before its @'
  return domainProblem(domain)
}

const nameProblem = (name: string): string | undefined => {
  if (/=\?[^?\s]*\?[bq]\?/i.test(name))
    return 'the name is encoded: write it as it should be read, it is encoded on its way'
  if (name !== name.trim() || /[^\S ]/.test(name))
    return 'the name begins or ends with a space, or holds one that is no plain space'
  return [...name].length > MAX_NAME_LENGTH ? `the name is longer than ${MAX_NAME_LENGTH} characters` : undefined
}

const EXAMPLES = "'consents@example.com' or 'Company <consents@example.com>'"
/** How RFC 5322's grammar would read each of these characters in an unquoted name. */
const meaning: Readonly<Record<string, string>> = {
  ',': 'a comma, which separates addresses',
  ';': 'a semicolon, which ends a group',
  ':': 'a colon, which begins a group of addresses',
  '(': 'a parenthesis, which begins a comment',
  ')': 'a parenthesis, which ends a comment',
  '@': 'an @',
  '\\': 'a backslash',
  '<': 'a <',
  '>': 'a >',
}

interface Written {
  readonly name: string
  readonly address: string
}

const readWritten = (text: string): Written | { readonly problem: string } => {
  if (!text.endsWith('>')) {
    if (/[,;]/.test(text) && !text.includes('<'))
      return { problem: 'a comma or a semicolon separates addresses, and there may be only one' }
    if (!/[\s<>"]/.test(text)) return { name: '', address: text }
    return {
      problem: text.includes('<')
        ? 'something stands after the >, or the > is missing'
        : 'an address after a name stands between < and >',
    }
  }
  const opens = text.lastIndexOf('<')
  const before = opens < 0 ? '' : text.slice(0, opens).trim()
  const address = text.slice(opens + 1, -1)
  if (opens < 0) return { problem: 'the < is missing' }
  const quoted = /^"((?:[^"\\]|\\["\\])*)"$/.exec(before)?.[1]
  if (quoted !== undefined) return { name: quoted.replaceAll(/\\(.)/g, '$1'), address }
  const special = /[,;:()@\\<>]/.exec(before)?.[0]
  if (before.includes('"'))
    return {
      problem:
        'quotes stand around the whole name, or nowhere; a quote or a backslash in it is written with a ' +
        'backslash before it',
    }
  if (special !== undefined)
    return { problem: `the name holds ${meaning[special] ?? special}: put the name in double quotes` }
  return { name: before, address }
}

/**
 * Reads MAIL_FROM: one address, or a name and an address between < and >, the name in double quotes where it holds
 * anything but letters, digits, spaces and the like. The From header shows exactly what was read; any other text is a
 * problem.
 */
export const readSender = (text: string): { readonly sender: Sender } | { readonly problem: string } => {
  const refused = (why: string) => ({ problem: `must be one address, ${EXAMPLES}: ${why}` })
  // Joiners are allowed: they are part of some scripts and of emoji. This check comes before any trimming, which would
  // remove white space that nobody can see.
  if (UNSEEN.test(text.replaceAll(/[\u200C\u200D]/g, ''))) return refused('it holds a character that is not to be seen')
  const written = readWritten(text)
  if ('problem' in written) return refused(written.problem)
  const { name, address } = written
  const ofAddress = mailboxProblem(address)
  if (ofAddress !== undefined) return refused(`the address ${ofAddress}`)
  // Some old phones have such addresses, and mail to them puts the local part in quotes. As a sender, such an address
  // would not appear in its header as it was written.
  if (/^\.|\.\.|\.@/.test(address))
    return refused('the address has a dot at the edge of what stands before its @, or two in a row')
  const ofName = nameProblem(name)
  if (ofName !== undefined) return refused(ofName)
  // nodemailer's parser reads the text last: it decides.
  const [read, ...others] = addressparser(text)
  const isSame =
    read !== undefined &&
    others.length === 0 &&
    read.group === undefined &&
    read.name === name &&
    read.address === address
  return isSame ? { sender: { name, address } } : refused('it can be read in more than one way')
}
