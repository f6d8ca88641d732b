// What a refusal at RCPT TO, DATA or after the message is about: which other messages would have been refused too. A
// table, read from top to bottom: first the reply code, then the enhanced code (RFC 3463, RFC 7372, and the codes that
// Google and Microsoft add), and the words only where neither is clear. Pure. The rows' sources: docs/decisions/0032.

/**
 * `outage`, `limit`, `setup`: any other message would have been refused too, because the server is in trouble, we have
 * sent too much, or it does not let us send. The message waits. `recipient`: about this mailbox or this content.
 * `too-large`: about every message of this size. `no-channel`: about every address like this one.
 */
export type ReplyScope = 'outage' | 'limit' | 'setup' | 'recipient' | 'too-large' | 'no-channel'

interface Reply {
  readonly status: number
  /** Such as `5.4.5`; undefined where the server gives none. */
  readonly enhanced: string | undefined
  /** The server's words. Only read here and never shown: they quote addresses. */
  readonly text: string
}

/**
 * Reply codes about the session, whichever command they answer. RFC 5321 4.2.1: a second digit 2 is about the
 * connection; so are these codes of RFC 5321 and RFC 4954.
 */
const sessionStatuses: Readonly<Record<number, ReplyScope>> = {
  421: 'outage',
  454: 'outage',
  500: 'setup',
  502: 'setup',
  503: 'outage',
  530: 'setup',
  534: 'setup',
  535: 'setup',
  538: 'setup',
}
const isAboutConnection = (status: number): boolean => Math.floor(status / 10) % 10 === 2

interface CodeRow {
  /** Subject and detail of the enhanced code. Its class is left out: the reply code's first digit says the same. */
  readonly is: RegExp
  readonly about: ReplyScope
  /** Only for replies that begin with this digit. */
  readonly only?: 4 | 5
}

const codeRows: readonly CodeRow[] = [
  // X.4.5 congestion: Google's daily limit. X.5.3 too many recipients, although each message has only one. 1.90, 7.232
  // to 7.236, 7.705: Microsoft's limits per tenant and mailbox. X.7.28 a mail flood (RFC 7372's registry).
  { is: /^(?:4\.5|5\.3|1\.90|7\.28|7\.23[2-6]|7\.705)$/, about: 'limit' },
  // Microsoft, 451 4.7.500 to 699: "server busy", said to senders that it does not know well.
  { is: /^7\.[56]\d\d$/, about: 'limit', only: 4 },
  // X.1.7, X.1.8: the sender's address. X.7.3, 7.4, 7.8 to 7.14: login and encryption. X.7.20 to 7.27, 7.29: DKIM, SPF,
  // reverse DNS, DMARC, ARC (RFC 7372, 7489); 7.30 to 7.33, 7.40: Google's. 2.25x, 7.57, 7.60, 7.64, 7.139: Microsoft:
  // not allowed to send as this sender, or at all. 7.5xx to 7.7xx: the server bans us.
  { is: /^(?:1\.[78]|2\.25[0-9]|7\.(?:3|4|8|9|1[0-4]|2[0-79]|3[0-3]|40|57|60|64|139|[5-7]\d\d))$/, about: 'setup' },
  // X.3.X is the state of the mail system: a disk, tables, shutdown. With a 5xx only where the code itself says so.
  { is: /^3\./, about: 'outage', only: 4 },
  { is: /^3\.[125]$/, about: 'outage' },
  { is: /^4\.2$/, about: 'outage', only: 4 },
  { is: /^(?:3\.4|2\.3)$/, about: 'too-large', only: 5 },
  // RFC 6531: the server takes no address (6.7), or no header (6.9), beyond ASCII.
  { is: /^6\.[79]$/, about: 'no-channel', only: 5 },
]

/**
 * Codes that servers use for anything: "other", a disabled mailbox, routing, protocol, policy. For these the words are
 * read.
 */
const isVague = (detail: string): boolean => /^(?:[0-7]\.0|2\.1|[345]\.\d+|7\.1)$/.test(detail)
/** X.2.2 officially means a full mailbox; some servers use it for the sender's own quota. */
const senderQuotaWords = /\b(?:sender|sending|outgoing|outbound|submission)\b[^.;]{0,30}\b(?:limits?|quota|rate)\b/

/**
 * The words name the sender, whatever else they say: many servers judge the sender only at RCPT (Postfix:
 * smtpd_delay_reject).
 */
const senderWords = [
  /sender (?:address |domain |verify |verification )*(?:was |is |has been )?(?:rejected|denied|refused|not allowed)/,
  /sender (?:address |domain |verify |verification )*(?:was |is |has been )?not authori[sz]ed(?! (?:for|to)\b)/,
  /sender (?:address |domain |verify |verification )*(?:was |is |has been )?(?:blocked|blacklisted|failed)/,
  /sender (?:address |domain |verify |verification )*(?:was |is |has been )?(?:not verified|not found)/,
  /sender (?:address |domain |verify |verification )*(?:was |is |has been )?(?:unknown|does not exist)/,
  /(?:invalid|unauthori[sz]ed) sender|send ?as ?denied|(?:permissions?|allowed|authori[sz]ed) to send as/,
  /(?:^|\W)from'? address|sender (?:identity|signature)|verified sender/,
]
const recipientWords = [
  /\bmail ?box\b|\binbox is\b|over[- ]?quota|receiving (?:mail|messages|limit)|to reach|to contact/,
  /user unknown|unknown user|no such user|recipient (?:is|has|account|storage|quota)\b|(?:out of|exceeded) storage/,
]
/** Joins the pieces of a pattern that is longer than a line. */
const pattern = (...pieces: readonly string[]): RegExp => new RegExp(pieces.join(''))
const limitWords = [
  pattern(
    String.raw`\b(?:daily|hourly|monthly|24[- ]?hours?|per (?:second|minute|hour|day|month)|send|sending|plan|`,
    String.raw`outgoing|outbound|relay|submission|smtp|message|maximum|max)\b[^.;]{0,50}`,
    String.raw`\b(?:limits?|quota|rate|credits?|threshold|allowance)\b[^;]{0,40}\b(?:exceed|reach|hit|used up|over)`,
  ),
  pattern(
    String.raw`\b(?:exceed\w*|reached|hit|over)\b[^.;]{0,40}\b(?:daily|hourly|monthly|sending|outgoing|outbound|`,
    String.raw`relay|recipients?|messag(?:es?|ing)|e?-?mails?)\b[^.;]{0,30}`,
    String.raw`\b(?:limits?|quota|rate|threshold|per (?:minute|hour|day|month))\b`,
  ),
  /\b(?:daily|hourly|monthly) (?:limit|quota)\b|\bnumber of (?:messages|e?-?mails)\b/,
  /your account has exceeded|(?:limit|quota) (?:on|for) sending/,
  /\b(?:out of|no|insufficient|not enough|not have enough) credits?\b|too much mail\b/,
  /\brecipients? (?:rate )?limit (?:was |has been )?(?:exceeded|reached)/,
  /throttl|rate[- ]?limit|too many (?:messages|e?-?mails|connections|recipients|requests|concurrent)/,
  /slow down|submission ?quota|outbound ?spam|unusual sending/,
]
/** With a policy code (X.7.0, X.7.1), a limit that is named without further words is the sender's too. */
const policyLimitWords = /\b(?:quota|limit) (?:was |has been |is )?exceeded|exceed\w*[^.;]{0,30}\b(?:quota|limit)\b/
const setupWords = [
  /\brelay(?:ing)?\b[^.;]{0,20}\b(?:denied|not (?:allowed|permitted)|disallowed|prohibited|refused)/,
  /(?:unable|not (?:permitted|allowed|authori[sz]ed)|cannot|refus\w+|do not) (?:to )?relay/,
  /\bauth(?:enticat\w*)?\b[^.;]{0,20}\b(?:required|needed|first|failed)|please authenticat/,
  /must (?:first )?(?:be )?authenticat|\b(?:not|un) ?-?authenticated|starttls/,
  /address is not verified|identities failed|domain[^.;]{0,30}not (?:been )?verified/,
  /not (?:authori[sz]ed|permitted|allowed) to (?:perform|use|send(?! to\b))/,
  /sending (?:is |has been |for this account )*(?:paused|suspended|disabled|denied|blocked)/,
  pattern(
    String.raw`\b(?:your|this|sending|smtp)\b[^.;]{0,30}\baccount\b[^.;]{0,30}`,
    String.raw`\b(?:suspended|disabled|blocked|paused|activated|approved|review)`,
  ),
  /pending approval|sandbox|test purposes only|authori[sz]ed recipients/,
  /\bspf\b|\bdkim\b|\bdmarc\b|reverse dns|\bptr\b|\brdns\b/,
  /client host\b|helo command|spamhaus|\bdnsbl\b|\brbl\b|black ?listed|block ?list/,
  pattern(
    String.raw`\b(?:your |client |sending )?(?:ip|host|network)\b[^.;]{0,40}`,
    String.raw`\b(?:blocked|banned|denied|not (?:allowed|authori[sz]ed)|unauthori[sz]ed)|unauthori[sz]ed ip`,
  ),
  /invalid helo|allowed rcpthosts|\brejected\b[^.;]{0,10}\blisted (?:at|in|on|by)\b/,
]
const sizeWords = [
  /\b(?:message|mail|size)\b[^.;]{0,40}\b(?:too (?:big|large|long)|exceed\w*[^.;]{0,40}\b(?:size|maximum))/,
  /too (?:big|large|long)\b/,
]
const says = (patterns: readonly RegExp[], words: string): boolean => patterns.some((known) => known.test(words))
/** The words without quoted addresses, which may hold any of the words searched for. */
const withoutQuotes = (text: string): string =>
  text
    .toLowerCase()
    .replaceAll(/<[^<>]*>|[^\s<>,;()'"]+@[^\s<>,;()'"]+/g, ' ')
    .replaceAll(/\s+/g, ' ')

const byWords = ({ status, text }: Reply, detail: string | undefined): ReplyScope => {
  const words = withoutQuotes(text)
  if (says(senderWords, words)) return 'setup'
  if (status >= 500 && says(sizeWords, words)) return 'too-large'
  if (says(recipientWords, words)) return 'recipient'
  if (says(limitWords, words) || (detail?.startsWith('7.') === true && policyLimitWords.test(words))) return 'limit'
  if (says(setupWords, words)) return 'setup'
  // RFC 5321: 452 is "insufficient system storage"; a full mailbox has a code of its own, or is named in words.
  return status === 452 && detail === undefined ? 'outage' : 'recipient'
}

/** What a 4xx or 5xx to RCPT TO, DATA or the message is about. */
export const scopeOf = (reply: Reply): ReplyScope => {
  const { status, enhanced } = reply
  const ofSession = sessionStatuses[status] ?? (isAboutConnection(status) ? 'setup' : undefined)
  const detail = enhanced?.slice(enhanced.indexOf('.') + 1)
  const row =
    detail === undefined
      ? undefined
      : codeRows.find(({ is, only }) => is.test(detail) && (only === undefined || only === Math.floor(status / 100)))
  if (ofSession !== undefined) {
    const fromCodeOrWords = row?.about ?? byWords(reply, detail)
    return fromCodeOrWords === 'limit' || fromCodeOrWords === 'setup' ? fromCodeOrWords : ofSession
  }
  if (row !== undefined) return row.about
  if (detail === '2.2' && senderQuotaWords.test(withoutQuotes(reply.text))) return 'limit'
  return detail === undefined || isVague(detail) ? byWords(reply, detail) : 'recipient'
}

/**
 * For a refusal of MAIL FROM with the parameter SMTPUTF8: whether the server refuses that parameter (RFC 6531 3.5), or
 * does not know a parameter (RFC 5321 4.1.1.11).
 */
export const refusesSmtpUtf8 = ({ status, enhanced }: Reply): boolean =>
  status === 555 || ['5.5.4', '5.6.7', '5.6.9'].includes(enhanced ?? '')

/**
 * Like `scopeOf`, for replies that come before a recipient is named: they can only be about us, except that a size is
 * about the message.
 */
export const aboutBeforeRecipient = (
  reply: Reply,
  command: string | undefined,
): Extract<ReplyScope, 'outage' | 'limit' | 'setup' | 'too-large'> => {
  const about = scopeOf(reply)
  // RFC 1870 6.1: in reply to MAIL, 552 is about the declared size.
  const isSize = command === 'MAIL FROM' && (about === 'too-large' || (reply.status === 552 && about === 'recipient'))
  if (isSize) return 'too-large'
  if (about === 'outage' || about === 'limit' || about === 'setup') return about
  return reply.status >= 500 ? 'setup' : 'outage'
}
