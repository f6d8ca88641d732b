// The places where a process can die or stall between two effects, each with a name. Production never arms them: there,
// a crash point only checks for undefined. The crash suite (test/crash) decides what happens at an armed crash point.

/** Name → what has happened at this place, and what is in doubt then. */
export const crashPoints = {
  // The queue and its jobs.
  'job-taken': 'a worker has a job, nothing is claimed: does anybody work on it?',
  'sweep-ended': 'a sweep is over, the queue does not know',
  'reauth-ended':
    'a consent is brought up to date, whatever that was, the queue does not know: the job is delivered again',
  'notify-ended': 'what became of a message is committed, the queue does not know: the job is delivered again',
  'exchange-ended': 'a step of an exchange is committed, the queue does not know: the job is delivered again',
  'job-failed': 'a job failed for good, its record has no later date yet',
  'failure-recorded': 'a job failed for good, its record has a later date, the queue does not know',
  'job-to-be-tried-again': 'a job failed in a way that may pass, the queue does not know',
  'claim-to-be-given-back': 'the work on a claimed record failed, its lease is not given back',
  'record-dispatched': 'a record is marked as queued, the queue does not have it',
  'record-queued': 'the queue has a record, whoever handed it over does not know',
  'record-refused': 'the queue took no record, which is still marked as queued',
  // The sweep.
  'states-expired': 'old states are closed, nothing is dispatched yet',
  'page-dispatched': 'a page of records is marked as queued, the queue has none of them',
  'page-queued': 'the queue has the page, the sweep has not counted it',
  'page-refused': 'the queue took no page, whose records are still marked as queued',
  'sweep-dispatched': 'everything due is dispatched, the sweep is not on record',
  'schedule-registered': 'the watchdog has mended the schedule, it has not swept yet',
  // A consent is brought up to date.
  'consent-claimed': 'a consent is leased, nothing is decided',
  'before-link': 'state and verifier are made and kept nowhere, the provider has not been asked',
  'link-answered': 'the provider has made a link or refused to, nothing of it is stored',
  'step-committed': 'link and message are committed, the message is not handed over',
  // The circuit breaker around the provider.
  'circuit-opened': 'too many rejections have opened the circuit, whoever noticed has stored nothing of its own answer',
  'trial-taken': "the minute's one trial call is taken, the provider has not been asked",
  'secret-checked': 'the provider accepts our secret again, the circuit is still open',
  'circuit-closed': 'the circuit is closed, whoever found out has done nothing else',
  // A message is sent.
  'message-claimed': 'a message is leased, nothing is decided',
  'message-revived': "a person's retry has made a failed message pending again, it is not sent",
  'sending-committed': 'the intent to send is committed, the mail server has not been called: was it sent?',
  'mail-server-greeted': 'the mail server has let us in, it has not been told of a message',
  'mail-leaving': 'the mail server waits for the message, no byte of it has left: was it sent?',
  'mail-answered': 'the mail server has said what it did, nothing of it is stored: was it sent?',
  // The user goes to the bank and comes back.
  'before-handing-out': 'a waiting user has pressed the button, nothing is committed',
  'link-handed-out': 'a link is marked as handed out, the browser does not have it',
  'link-added': 'a link made for a waiting user is stored as handed out, the browser does not have it',
  'before-departure': 'the answer that sends the browser to the bank is ready and not sent',
  'before-receiving': 'the browser has brought an answer of the bank, nothing of it is committed',
  'code-committed': 'a code is committed, its exchange is not handed over',
  'refusal-committed': 'the refusal of a bank is committed, the browser has no answer',
  'before-callback-answer': 'a callback is committed, the browser has no answer and comes again',
  'before-api-answer':
    'a callback that the company forwarded is committed, the company has no answer and sends it again',
  // A code is exchanged.
  'authorisation-claimed': 'an authorisation is leased, nothing is decided',
  'exchanging-committed': 'the intent to send a code is committed, the code has not left: was it used?',
  'answer-unnoted':
    'the provider has answered a code or a refresh, what that says of the provider is not noted, nothing is stored',
  'code-answered': 'the provider has answered a code, nothing of the answer is stored: was it used?',
  'tokens-beside':
    'the stored token was replaced meanwhile, the one in hand is kept beside it, the outcome is not marked as unknown',
  'tokens-stored': 'the tokens are stored, nothing is proven',
  'before-asking-again': 'a code has ended without a renewal, the consent is not handed over to be asked again',
  'me-answered': 'the provider has shown the dates after an exchange, nothing is concluded',
  'before-settling': 'an outcome is marked as unknown, nobody has asked yet',
  'refresh-answered': 'a settling refresh was answered, its tokens are not stored',
  'refresh-kept': 'what a settling refresh brought is stored, the dates have not been asked for',
  'settling-me-answered': 'the provider has shown the dates after a settling refresh, nothing is concluded',
  'change-noted': 'another stored token is noted as the one to compare with, who settles has not let go',
  'tokens-adopted': "the pending token has become the consent's own, neither renewal nor refusal is committed",
  'renewal-committed': 'the renewal is committed with the date of the next cycle, the job has not ended',
  // A stored secret does not open.
  'quarantined-for-token': 'a consent is out of the loop, the job that came across it has not failed yet',
  'quarantined-for-code': 'the same, where the code of an authorisation does not open',
  'quarantined-by-visit': 'the same, and the user who pressed the button has no answer',
} as const satisfies Record<string, string>

export type CrashPointName = keyof typeof crashPoints

/** May do anything at a crash point: return, reject, wait, end the process. */
export type Strike = (name: CrashPointName) => Promise<void>

let strike: Strike | undefined

/** For the crash suite's own processes only; nothing in `src/` calls this function. */
export const armCrashPoints = (armed: Strike): void => {
  strike = armed
}

/** Marks a crash point. Does nothing unless the crash points are armed. */
export const crashPoint = (name: CrashPointName): Promise<void> | undefined => strike?.(name)
