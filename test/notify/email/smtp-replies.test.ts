// The replies of real servers in their own words (from their documentation and from bug reports), and whether the
// message then waits, fails, or counts an attempt.
import { describe, expect, test } from 'vitest'
import { classify } from '../../../src/notify/email/smtp-outcome.ts'

type Stage = 'CONN' | 'AUTH' | 'MAIL' | 'RCPT' | 'DATA' | 'dot'
type Row = readonly [stage: Stage, reply: string, verdict: string]

const failureAt = (stage: Stage, response: string) => ({
  responseCode: Number(response.slice(0, 3)),
  response,
  code: stage === 'AUTH' ? 'EAUTH' : stage === 'dot' ? 'EMESSAGE' : 'EENVELOPE',
  command: { CONN: 'CONN', AUTH: 'AUTH PLAIN', MAIL: 'MAIL FROM', RCPT: 'RCPT TO', DATA: 'DATA', dot: 'DATA' }[stage],
})
const verdictOn = (stage: Stage, reply: string, isBeyondAscii = false): string => {
  const delivery = classify(failureAt(stage, reply), { handedOver: stage === 'dot', isBeyondAscii })
  return delivery.kind === 'unavailable' ? `waits: ${delivery.cause}` : delivery.code
}

const tables: Record<string, readonly Row[]> = {
  Google: [
    [
      'dot',
      '550-5.4.5 Daily user sending limit exceeded. For more information on Gmail\r\n550-5.4.5 sending limits ' +
        'go to\r\n550 5.4.5 https://support.google.com/a/answer/166852 a1-2 - gsmtp',
      'waits: limit',
    ],
    ['RCPT', '550 5.4.5 Daily sending quota exceeded. a1-2 - gsmtp', 'waits: limit'],
    ['MAIL', '550 5.4.5 Daily user sending limit exceeded', 'waits: limit'],
    ['RCPT', '452 4.5.3 Your message has too many recipients. a1-2 - gsmtp', 'waits: limit'],
    ['dot', '550 5.7.1 Daily SMTP relay limit exceeded for user <zoe@mail.test>.', 'waits: limit'],
    ['RCPT', '450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error.', 'waits: limit'],
    [
      'RCPT',
      '450 4.2.1 The user you are trying to contact is receiving mail too quickly. Please resend your message ' +
        'at a later time.',
      'message-deferred',
    ],
    ['RCPT', '550 5.2.1 The email account that you tried to reach is inactive.', 'message-refused'],
    [
      'RCPT',
      '550-5.2.1 The user you are trying to contact is receiving mail at a rate that\r\n550 5.2.1 prevents ' +
        'additional messages from being delivered.',
      'message-refused',
    ],
    [
      'dot',
      '421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your DKIM domain.',
      'waits: limit',
    ],
    [
      'dot',
      '550-5.7.26 This mail has been blocked because the sender is unauthenticated.\r\n550 5.7.26 Gmail ' +
        'requires all senders to authenticate with either SPF or DKIM.',
      'waits: setup',
    ],
    [
      'dot',
      "550-5.7.26 Unauthenticated email from acme.test is not accepted due to domain's DMARC policy.",
      'waits: setup',
    ],
    ['dot', '550 5.7.25 The IP address sending this message does not have a PTR record', 'waits: setup'],
    [
      'dot',
      "550-5.7.1 [192.0.2.1] The IP you're using to send mail is not authorized to send email directly to our servers.",
      'waits: setup',
    ],
    [
      'RCPT',
      "550-5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address you've registered\r\n550 5.7.1 does " +
        'not match the domain of the account this email is being sent from: relay denied',
      'waits: setup',
    ],
    [
      'dot',
      '550-5.7.1 [192.0.2.1] Our system has detected that this message is likely unsolicited mail.',
      'message-refused',
    ],
    ['RCPT', "552-5.2.2 The recipient's inbox is out of storage space.", 'message-refused'],
    ['RCPT', "452-4.2.2 The recipient's inbox is out of storage space.", 'message-deferred'],
    ['RCPT', '550-5.1.1 The email account that you tried to reach does not exist.', 'message-refused'],
    [
      'dot',
      '552-5.7.0 This message was blocked because its content presents a potential security issue.',
      'message-refused',
    ],
    ['dot', '552 5.3.4 Message size exceeds fixed limit', 'message-too-large'],
    ['dot', "552-5.2.3 Your message exceeded Google's message size limits.", 'message-too-large'],
    ['MAIL', '530-5.7.0 Authentication Required.', 'waits: setup'],
    ['MAIL', '530 5.7.0 Must issue a STARTTLS command first', 'waits: setup'],
    ['AUTH', '535-5.7.8 Username and Password not accepted.', 'waits: setup'],
    ['AUTH', '534-5.7.9 Application-specific password required.', 'waits: setup'],
    ['AUTH', '454 4.7.0 Cannot authenticate due to temporary system problem.', 'waits: outage'],
    ['MAIL', '451 4.3.0 Mail server temporarily rejected message.', 'waits: outage'],
    ['dot', '451 4.4.2 Timeout - closing connection.', 'waits: outage'],
  ],
  'Microsoft 365 and Exchange': [
    [
      'dot',
      "550 5.7.232 Your message can't be sent because your trial tenant has exceeded its daily limit for " +
        'sending email to external recipients',
      'waits: limit',
    ],
    [
      'dot',
      "550 5.7.233 Your message can't be sent because your tenant exceeded its daily limit for sending email " +
        'to external recipients',
      'waits: limit',
    ],
    [
      'dot',
      "550 5.1.90 Your message can't be sent because you've reached your daily limit for message recipients",
      'waits: limit',
    ],
    ['dot', '550 5.7.705 Access denied, tenant has exceeded threshold', 'waits: limit'],
    [
      'dot',
      '554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message due to a ' +
        'permanent exception',
      'waits: limit',
    ],
    ['dot', '554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException', 'waits: limit'],
    ['dot', '550 5.1.8 Access denied, bad outbound sender AS(42004)', 'waits: setup'],
    ['dot', '550 5.7.501 Access denied, spam abuse detected', 'waits: setup'],
    ['dot', '550 5.7.511 Access denied, banned sender [192.0.2.1]', 'waits: setup'],
    ['dot', '550 5.7.708 Access denied, traffic not accepted from this IP', 'waits: setup'],
    ['dot', '550 5.7.750 Service unavailable. Client blocked from sending from unregistered domains', 'waits: setup'],
    ['dot', '554 5.2.252 SendAsDenied; not allowed to send as', 'waits: setup'],
    ['MAIL', '530 5.7.57 Client not authenticated to send mail', 'waits: setup'],
    ['dot', '550 5.7.60 SMTP; Client does not have permissions to send as this sender', 'waits: setup'],
    ['RCPT', '550 5.7.64 TenantAttribution; Relay Access Denied', 'waits: setup'],
    ['RCPT', '550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain', 'message-refused'],
    ['RCPT', '550 5.7.1 Unable to relay', 'waits: setup'],
    [
      'AUTH',
      '535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.',
      'waits: setup',
    ],
    ['RCPT', '451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (S77719)', 'waits: limit'],
    ['dot', '432 4.3.2 Concurrent connections limit exceeded', 'waits: outage'],
    ['RCPT', '452 4.5.3 Too many recipients', 'waits: limit'],
    ['RCPT', '550 5.4.1 Recipient address rejected: Access denied.', 'message-refused'],
    [
      'RCPT',
      '550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup',
      'message-refused',
    ],
    ['dot', '550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; Delivery restricted', 'message-refused'],
    [
      'dot',
      '550 5.2.122 The recipient has exceeded their limit for the number of messages they can receive per hour',
      'message-refused',
    ],
    ['dot', '554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException', 'message-refused'],
    ['dot', '552 5.3.4 Message size exceeds fixed maximum message size', 'message-too-large'],
    ['MAIL', '552 5.3.4 Message size exceeds fixed maximum message size', 'message-too-large'],
  ],
  'Amazon SES': [
    ['dot', '454 Throttling failure: Maximum sending rate exceeded.', 'waits: limit'],
    ['dot', '454 Throttling failure: Daily message quota exceeded.', 'waits: limit'],
    [
      'dot',
      '554 Message rejected: Email address is not verified. The following identities failed the check in ' +
        'region EU-WEST-1: zoe@mail.test',
      'waits: setup',
    ],
    [
      'dot',
      '554 Message rejected: Sending paused for this account. For more information, please check the inbox of ' +
        'the email address associated with your AWS account.',
      'waits: setup',
    ],
    ['dot', '554 Sending suspended for this account.', 'waits: setup'],
    [
      'dot',
      '554 Access denied: User arn:aws:iam::1:user/x is not authorized to perform ses:SendRawEmail',
      'waits: setup',
    ],
    ['AUTH', '535 Authentication Credentials Invalid', 'waits: setup'],
    ['MAIL', '530 Authentication required', 'waits: setup'],
    ['dot', '552 Message is too long.', 'message-too-large'],
    ['dot', '554 Transaction failed: Local address contains control or whitespace', 'message-refused'],
  ],
  'Mailgun, SendGrid, Postmark, Brevo, Zoho': [
    ['RCPT', '550 5.7.1 Relaying denied', 'waits: setup'],
    [
      'dot',
      '550 Domain acme.test is not allowed to send: recipient limit exceeded. try again after Sat, 21 Nov 2026 ' +
        '06:00:00 UTC',
      'waits: limit',
    ],
    [
      'dot',
      '554 Sandbox subdomains are for test purposes only. Please add your own domain or add the address to ' +
        'authorized recipients in Account Settings.',
      'waits: setup',
    ],
    ['AUTH', '451 Authentication failed: Maximum credits exceeded', 'waits: limit'],
    ['dot', '550 Unauthenticated senders not allowed', 'waits: setup'],
    [
      'dot',
      '550 The from address does not match a verified Sender Identity. Mail cannot be sent until this error is ' +
        'resolved.',
      'waits: setup',
    ],
    [
      'dot',
      "550 5.7.1 The 'From' address you supplied (noreply@acme.test) is not a Sender Signature on your account.",
      'waits: setup',
    ],
    ['dot', '554 5.7.1 Your account is pending approval', 'waits: setup'],
    ['AUTH', '525 5.7.1 Unauthorized IP address', 'waits: setup'],
    ['AUTH', '502 5.7.0 Your SMTP account is not yet activated', 'waits: setup'],
    ['dot', '550 5.4.6 Unusual sending activity detected. Please try after sometime', 'waits: limit'],
    ['dot', '554 5.1.8 Email Outgoing Blocked', 'waits: setup'],
    ['RCPT', '553 Relaying disallowed as noreply@acme.test', 'waits: setup'],
    ['dot', '451 You have exceeded your messaging limits', 'waits: limit'],
    ['dot', '402 Your account has exceeded its limit', 'waits: limit'],
    ['dot', '550 out of credits', 'waits: limit'],
    ['dot', '550 5.7.1 insufficient credits', 'waits: limit'],
    ['dot', '550 5.7.1 Free plan limit reached. Upgrade your plan', 'waits: limit'],
    ['dot', '550 You have exceeded the number of messages you may send', 'waits: limit'],
  ],
  'Postfix, Exim, sendmail and their policies': [
    ['RCPT', '553 5.7.1 <noreply@acme.test>: Sender address rejected: not owned by user mailer', 'waits: setup'],
    [
      'RCPT',
      '550 5.1.0 <noreply@acme.test>: Sender address rejected: User unknown in virtual mailbox table',
      'waits: setup',
    ],
    ['RCPT', '450 4.1.8 <noreply@acme.test>: Sender address rejected: Domain not found', 'waits: setup'],
    ['RCPT', '550 5.1.8 <noreply@acme.test>: Sender address rejected: Domain not found', 'waits: setup'],
    ['RCPT', '554 5.7.1 <zoe@mail.test>: Relay access denied', 'waits: setup'],
    ['RCPT', '454 4.7.1 <zoe@mail.test>: Relay access denied', 'waits: setup'],
    ['RCPT', '554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.spamhaus.org', 'waits: setup'],
    ['RCPT', '554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied', 'waits: setup'],
    ['RCPT', '450 4.7.1 Client host rejected: cannot find your hostname, [192.0.2.1]', 'waits: setup'],
    ['RCPT', '504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname', 'waits: setup'],
    [
      'RCPT',
      '550 5.1.1 <zoe@mail.test>: Recipient address rejected: User unknown in local recipient table',
      'message-refused',
    ],
    ['RCPT', '550 5.1.2 <zoe@mail.test>: Recipient address rejected: Domain not found', 'message-refused'],
    ['RCPT', '450 4.1.2 <zoe@mail.test>: Recipient address rejected: Domain not found', 'message-deferred'],
    [
      'RCPT',
      '450 4.2.0 <zoe@mail.test>: Recipient address rejected: Greylisted, see http://postgrey.test',
      'message-deferred',
    ],
    ['RCPT', '451 4.7.1 Greylisting in action, please come back later', 'message-deferred'],
    [
      'RCPT',
      '450 <zoe@mail.test>: Recipient address rejected: unverified address: Address verification in progress',
      'message-deferred',
    ],
    ['RCPT', '451 Temporary local problem - please try later', 'message-deferred'],
    [
      'RCPT',
      '450 4.7.1 <zoe@mail.test>: Recipient address rejected: Policy rejection; Message count quota exceeded',
      'waits: limit',
    ],
    ['RCPT', '554 5.7.1 <zoe@mail.test>: Recipient address rejected: Quota exceeded', 'waits: limit'],
    [
      'RCPT',
      '550 Domain acme.test has exceeded the max emails per hour (50/50 (100%)) allowed. Message discarded.',
      'waits: limit',
    ],
    ['RCPT', '552 5.2.2 <zoe@mail.test>: Recipient address rejected: Mailbox quota exceeded', 'message-refused'],
    ['RCPT', '552 5.2.2 <zoe@mail.test>: over quota', 'message-refused'],
    ['RCPT', '450 4.7.1 Error: too much mail from 192.0.2.1', 'waits: limit'],
    ['RCPT', '550 Mail send limit exceeded', 'waits: limit'],
    ['RCPT', '550 daily limit', 'waits: limit'],
    ['RCPT', '450 4.5.1 daily quota', 'waits: limit'],
    ['RCPT', '450 4.7.1 Sending limits exceeded', 'waits: limit'],
    ['dot', '554 5.7.1 You have reached a limit on sending mail', 'waits: limit'],
    ['dot', '550 5.2.2 Your daily sending limit was reached', 'waits: limit'],
    ['RCPT', '552 5.2.2 Sender daily quota exceeded', 'waits: limit'],
    ['RCPT', '552 5.2.2 daily limit of the mailbox <zoe@mail.test> exceeded', 'message-refused'],
    ['RCPT', '552 5.2.2 Maximum message quota exceeded', 'message-refused'],
    ['RCPT', '550 5.2.1 recipient is over their daily receiving limit', 'message-refused'],
    ['RCPT', '451 4.7.1 Sorry, the maximum number of messages per hour is reached', 'waits: limit'],
    ['dot', '550 5.7.1 Ratelimit exceeded', 'waits: limit'],
    ['RCPT', "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)", 'waits: setup'],
    ['RCPT', '550 5.7.1 Unauthorized sender', 'waits: setup'],
    ['RCPT', '554 5.7.1 Sender not authorized', 'waits: setup'],
    ['RCPT', '550 5.1.0 sender domain does not exist', 'waits: setup'],
    ['RCPT', '550 5.7.1 Invalid sender domain', 'waits: setup'],
    ['RCPT', '550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)', 'waits: setup'],
    ['RCPT', '550 SMTP AUTH is required for message submission on port 587', 'waits: setup'],
    ['RCPT', '550 5.7.1 Command not allowed: please authenticate', 'waits: setup'],
    ['RCPT', '550 5.7.1 You are not permitted to send mail', 'waits: setup'],
    ['RCPT', '550 5.7.1 Mail from 192.0.2.1 rejected, listed at bl.spamcop.net', 'waits: setup'],
    ['RCPT', '450 greylisted, sender not yet known', 'message-deferred'],
    ['RCPT', '451 4.7.1 Sender and recipient greylisted for the first time', 'message-deferred'],
    ['RCPT', '550 5.7.1 You are not allowed to send to this group', 'message-refused'],
    ['RCPT', '550 5.7.1 Sender not authorized for recipient', 'message-refused'],
    ['RCPT', '550 5.2.1 The account has exceeded its quota', 'message-refused'],
    ['RCPT', '550 Account zoe suspended', 'message-refused'],
    ['RCPT', '550 5.2.1 account has been suspended', 'message-refused'],
    ['RCPT', '550 mailbox full, quota exceeded', 'message-refused'],
    ['RCPT', '552 Mailbox quota exceeded for user zoe', 'message-refused'],
    ['RCPT', '550 No such user here', 'message-refused'],
    ['RCPT', '452 Insufficient system storage', 'waits: outage'],
    ['RCPT', '452 Too many messages, try again later', 'waits: limit'],
    ['MAIL', '452 4.3.1 Insufficient system storage', 'waits: outage'],
    ['RCPT', '451 4.3.0 <zoe@mail.test>: Temporary lookup failure', 'waits: outage'],
    ['RCPT', '550 5.3.2 System not accepting network messages', 'waits: outage'],
    ['RCPT', '550 authentication required', 'waits: setup'],
    ['RCPT', '550 relay not permitted', 'waits: setup'],
    ['MAIL', '550 5.1.0 Sender rejected', 'waits: setup'],
    ['MAIL', '550 5.1.1 user unknown', 'waits: setup'],
    ['MAIL', '552 message size exceeds fixed maximum message size', 'message-too-large'],
    ['MAIL', '552 too much', 'message-too-large'],
    ['DATA', '552 5.3.4 Message too big for system', 'message-too-large'],
    ['dot', '552 Message size exceeds maximum permitted', 'message-too-large'],
    ['CONN', '554 5.7.1 no service for you', 'waits: setup'],
    ['CONN', '421 4.3.2 too many connections', 'waits: outage'],
    ['RCPT', '421 4.7.0 try again later, closing', 'waits: outage'],
    ['dot', '554 5.7.1 This message looks like spam', 'message-refused'],
    ['dot', '550 5.6.0 Malformed MIME', 'message-refused'],
    ['RCPT', '500 command not recognized', 'waits: setup'],
  ],
}

for (const [server, rows] of Object.entries(tables)) {
  describe(server, () => {
    test.each(rows)('%s: %s: %s', (stage, reply, verdict) => expect(verdictOn(stage, reply)).toBe(verdict))
  })
}

describe('the server’s words are read without what they quote', () => {
  test.each([
    ['550 <daily.sending.limit-exceeded@mail.test>: unknown', 'message-refused'],
    ['550 relay.access.denied@mail.test does not exist', 'message-refused'],
    ['550 5.1.1 relay access denied', 'message-refused'],
    ['450 spamhaus@mail.test is busy', 'message-deferred'],
  ])('%s: %s', (reply, verdict) => expect(verdictOn('RCPT', reply)).toBe(verdict))
})

describe('an address with letters beyond ASCII before its @', () => {
  test.each([
    ['RCPT', '550 5.6.7 Non-ASCII addresses not permitted for that recipient'],
    ['RCPT', '553 5.6.7 Non-ASCII addresses not permitted'],
    ['RCPT', '553 not a valid address'],
    ['dot', '554 5.6.9 UTF-8 header message cannot be transferred'],
  ] as const)('%s: %s: no-channel', (stage, reply) => {
    expect([verdictOn(stage, reply, true), verdictOn(stage, reply)]).toEqual(['no-channel', 'message-refused'])
  })
  test('a refusal of the recipient is message-refused all the same', () =>
    expect(verdictOn('RCPT', '550 5.1.1 unknown', true)).toBe('message-refused'))
})
