// The points at which the crash suite strikes: by name, where in the program each is, and what is then in doubt. A
// place is a call of a port, before or after it, or one of the few named places within a call (src/crash-point.ts).
// After a death, what the point says is in doubt; where the job repeats the write (src/processors/persist.ts), a throw
// after it is a lost acknowledgement, and the same process calls again.
interface Point {
  /** Places as die-around.ts writes them. */
  readonly at: readonly string[]
  readonly doubt: string
}

export const crashPoints = {
  // The queue and its jobs.
  'job-taken': {
    at: ['before jobs.reauth'],
    doubt: 'a worker has a job, nothing is claimed: does anybody work on it?',
  },
  'sweep-ended': {
    at: ['after jobs.sweep'],
    doubt: 'a sweep is over, the queue does not know',
  },
  'reauth-ended': {
    at: ['after jobs.reauth'],
    doubt: 'a consent is brought up to date, whatever that was, the queue does not know: the job is delivered again',
  },
  'notify-ended': {
    at: ['after jobs.notify'],
    doubt: 'what became of a message is committed, the queue does not know: the job is delivered again',
  },
  'exchange-ended': {
    at: ['after jobs.exchange'],
    doubt: 'a step of an exchange is committed, the queue does not know: the job is delivered again',
  },
  'job-failed': {
    at: ['before store.rescheduleRecord(authorisation)', 'before store.rescheduleRecord(notification)'],
    doubt: 'a job failed for good, its record has no later date yet',
  },
  'failure-recorded': {
    at: ['after store.rescheduleRecord(authorisation)', 'after store.rescheduleRecord(notification)'],
    doubt: 'a job failed for good, its record has a later date, the queue does not know',
  },
  'job-to-be-tried-again': {
    at: ['failed jobs.reauth'],
    doubt: 'a job failed in a way that may pass, the queue does not know',
  },
  'claim-to-be-given-back': {
    at: ['before store.release(consent)', 'before store.release(authorisation)'],
    doubt: 'the work on a claimed record failed, its lease is not given back',
  },
  'claim-given-back': {
    at: ['after store.release(consent)', 'after store.release(authorisation)', 'after store.release(notification)'],
    doubt: 'the lease of a failed job is given back, the job has not failed yet',
  },
  'record-dispatched': {
    at: ['after store.dispatchOne(consent)'],
    doubt: 'a consent is marked as queued, the queue does not have it',
  },
  'record-queued': {
    at: ['after queue.add(notify)', 'after queue.add(exchange)'],
    doubt: 'the queue has a record, whoever handed it over does not know',
  },
  'record-refused': {
    at: ['before store.undispatch(authorisation)'],
    doubt: 'the queue took no record, which is still marked as queued',
  },
  // The sweep.
  'states-expired': {
    at: ['after store.expireAttempts'],
    doubt: 'old states are closed, nothing is dispatched yet',
  },
  'page-dispatched': {
    at: [
      'after store.dispatchDue(consent)',
      'after store.dispatchDue(notification)',
      'after store.dispatchDue(authorisation)',
    ],
    doubt: 'a page of records is marked as queued, the queue has none of them',
  },
  'page-queued': {
    at: ['after queue.add(reauth)'],
    doubt: 'the queue has the page, the sweep has not counted it',
  },
  'page-refused': {
    at: ['before store.undispatch(consent)'],
    doubt: 'the queue took no page, whose records are still marked as queued',
  },
  'mark-taken-back': {
    at: [
      'after store.undispatch(consent)',
      'after store.undispatch(authorisation)',
      'after store.undispatch(notification)',
    ],
    doubt: 'the queue took no work, the marks are taken back, whoever handed it over does not know',
  },
  'sweep-dispatched': {
    at: ['before store.recordSweep'],
    doubt: 'everything due is dispatched, the sweep is not on record',
  },
  'sweep-recorded': {
    at: ['after store.recordSweep'],
    doubt: 'the sweep is on record, its job has not ended',
  },
  'events-placed': {
    at: ['after store.sequenceEvents'],
    doubt: 'events have their places in the feed, whoever placed them does not know',
  },
  'schedule-registered': {
    at: ['after schedule.registerSweep'],
    doubt: 'the watchdog has mended the schedule, it has not swept yet',
  },
  // A consent is brought up to date.
  'consent-claimed': {
    at: ['after store.claim(consent)'],
    doubt: 'a consent is leased, nothing is decided',
  },
  'before-link': {
    at: ['before provider.makeLink'],
    doubt: 'state and verifier are made and kept nowhere, the provider has not been asked',
  },
  'link-answered': {
    at: ['after provider.makeLink'],
    doubt: 'the provider has made a link or refused to, nothing of it is stored',
  },
  'back-off-committed': {
    at: ['after store.backOff(consent)', 'after store.backOffRejected(consent)'],
    doubt: 'the consent backs off, the job has not ended',
  },
  'date-committed': {
    at: ['after store.scheduleConsent(consent)'],
    doubt: 'nothing is due and the next date is committed, the job has not ended',
  },
  'step-committed': {
    at: ['after store.commitStep(consent)'],
    doubt: 'link and message are committed, the message is marked as queued, the queue does not have it',
  },
  // The circuit breaker around the provider.
  'circuit-opened': {
    at: ['after store.countFailure'],
    doubt: 'too many rejections have opened the circuit, whoever noticed has stored nothing of its own answer',
  },
  'trial-taken': {
    at: ['after store.takeTrial'],
    doubt: "the minute's one trial call is taken, the provider has not been asked",
  },
  'secret-checked': {
    at: ['after truelayer.checkCredentials'],
    doubt: 'the provider accepts our secret again, the circuit is still open',
  },
  'circuit-closed': {
    at: ['after store.closeCircuit'],
    doubt: 'the circuit is closed, whoever found out has done nothing else',
  },
  // A message is sent.
  'message-claimed': {
    at: ['after store.claim(notification)'],
    doubt: 'a message is leased, nothing is decided',
  },
  'message-revived': {
    at: ['after store.reviveFailed(notification)'],
    doubt: "a person's retry has made a failed message pending again, it is not sent",
  },
  'sending-committed': {
    at: ['after store.beginSending(notification)'],
    doubt: 'the intent to send is committed, the mail server waits for the message: was it sent?',
  },
  'mail-server-greeted': {
    at: ['mail-server-greeted'],
    doubt: 'the mail server has let us in, it has not been told of a message',
  },
  'mail-leaving': {
    at: ['mail-leaving'],
    doubt: 'the mail server waits for the message, no byte of it has left: was it sent?',
  },
  'late-answer-noted': {
    at: ['after store.recordHandedOver(notification)'],
    doubt: 'the whole message has left and the answer is late: was it taken?',
  },
  'repeat-committed': {
    at: ['after store.beginRepeat(notification)'],
    doubt: 'a message whose worker died is about to be sent once more: was it sent, once or twice?',
  },
  'mail-answered': {
    at: ['after channel.send'],
    doubt: 'the mail server has said what it did, nothing of it is stored: was it sent?',
  },
  'outcome-of-mail-committed': {
    at: ['after store.settleSending(notification)', 'after store.failUnbegun(notification)'],
    doubt: 'what became of a message is committed, the job has not ended',
  },
  'message-rescheduled': {
    at: ['after store.reschedule(notification)', 'after store.postponeRepeat(notification)'],
    doubt: 'a message that was put off has its next date, the job has not ended',
  },
  'message-cancelled': {
    at: ['after store.cancel(notification)'],
    doubt: 'a message that nobody wants is cancelled, the job has not ended',
  },
  // The user goes to the bank and comes back.
  'before-handing-out': {
    at: ['before store.handOutLink'],
    doubt: 'a waiting user has pressed the button, nothing is committed',
  },
  'link-handed-out': {
    at: ['after store.handOutLink'],
    doubt: 'a link is marked as handed out, the browser does not have it',
  },
  'link-added': {
    at: ['after store.addHandedOut'],
    doubt: 'a link made for a waiting user is stored as handed out, the browser does not have it',
  },
  'before-departure': {
    at: ['after visits.leaveForBank'],
    doubt: 'the answer that sends the browser to the bank is ready and not sent',
  },
  'before-receiving': {
    at: ['before store.receiveCode', 'before store.receiveRefusal'],
    doubt: 'the browser has brought an answer of the bank, nothing of it is committed',
  },
  'code-committed': {
    at: ['after store.receiveCode'],
    doubt: 'a code is committed and marked as queued, the queue does not have it',
  },
  'refusal-committed': {
    at: ['after store.receiveRefusal'],
    doubt: 'the refusal of a bank is committed, the browser has no answer',
  },
  'before-callback-answer': {
    at: ['after visits.receiveCallback'],
    doubt: 'a callback is committed, the browser has no answer and comes again',
  },
  'before-api-answer': {
    at: ['after visits.receiveCallback'],
    doubt: 'a callback that the company forwarded is committed, the company has no answer and sends it again',
  },
  // A code is exchanged.
  'authorisation-claimed': {
    at: ['after store.claim(authorisation)'],
    doubt: 'an authorisation is leased, nothing is decided',
  },
  'exchanging-committed': {
    at: ['after store.beginExchange(authorisation)'],
    doubt: 'the intent to send a code is committed, the code has not left: was it used?',
  },
  'answer-unnoted': {
    at: ['answer-unnoted'],
    doubt:
      'the provider has answered a code or a refresh, what that says of the provider is not noted, nothing is stored',
  },
  'code-answered': {
    at: ['after provider.exchangeCode'],
    doubt: 'the provider has answered a code, nothing of the answer is stored: was it used?',
  },
  'code-requeued': {
    at: ['after store.requeueCode(authorisation)'],
    doubt: 'a code that was not processed is to be sent again, the job has not ended',
  },
  'code-waits': {
    at: ['after store.scheduleAttempt(authorisation)'],
    doubt: 'a code waits for another one, the job has not ended',
  },
  'tokens-beside': {
    at: ['after store.storeTokenResponse(authorisation)'],
    doubt: 'the stored token was replaced meanwhile, the one in hand is pending, the outcome is not marked as in doubt',
  },
  'tokens-stored': {
    at: ['after store.storeTokenResponse(authorisation)'],
    doubt: 'the tokens are stored, nothing is proven',
  },
  'before-asking-again': {
    at: ['after store.closeUnrenewed(authorisation)'],
    doubt: 'a code has ended without a renewal, the consent is not handed over to be asked again',
  },
  'me-answered': {
    at: ['after provider.readMe'],
    doubt: 'the provider has shown the dates after an exchange, nothing is concluded',
  },
  'poll-scheduled': {
    at: ['after store.schedulePoll(authorisation)'],
    doubt: 'the provider is to be polled again, the job has not ended',
  },
  'date-awaited': {
    at: ['after store.awaitDate(authorisation)'],
    doubt: 'a date that may come late is awaited, the job has not ended',
  },
  'before-settling': {
    at: ['before provider.refresh'],
    doubt: 'an outcome is marked as unknown, nobody has asked yet',
  },
  'refresh-answered': {
    at: ['after provider.refresh'],
    doubt: 'a settling refresh was answered, its tokens are not stored',
  },
  'refresh-kept': {
    at: ['after store.storeRotated', 'after store.storeRotated in vain'],
    doubt: 'what a settling refresh brought is stored, the dates have not been asked for',
  },
  'candidate-accepted': {
    at: ['after store.acceptCandidate'],
    doubt: 'the provider accepted a candidate, which is the current token now, the dates have not been asked for',
  },
  'candidate-rejected': {
    at: ['after store.rejectCandidate'],
    doubt: 'the provider refused a candidate, which is barred now, the other token has not been tried',
  },
  'pending-token-kept': {
    at: ['after store.replacePendingToken'],
    doubt: 'a settling refresh rotated the pending token, the dates have not been asked for',
  },
  'settling-me-answered': {
    at: ['after provider.readMe'],
    doubt: 'the provider has shown the dates after a settling refresh, nothing is concluded',
  },
  'change-noted': {
    at: ['after store.markInDoubt(authorisation)'],
    doubt: 'another stored token is noted as the one to compare with, who settles has not let go',
  },
  'tokens-adopted': {
    at: ['after store.adoptTokens(authorisation)'],
    doubt: "the pending token has become the consent's own, neither renewal nor refusal is committed",
  },
  'renewal-committed': {
    at: ['after store.commitRenewal(authorisation)'],
    doubt: 'the renewal is committed with the date of the next cycle, the job has not ended',
  },
  // The company asks for an access token.
  'access-token-asked': {
    at: ['after store.beginRefresh'],
    doubt: 'the intent to refresh for the company is committed, the provider has not been asked',
  },
  'access-token-answered': {
    at: ['after provider.refresh'],
    doubt: 'the provider has refreshed for the company, nothing is stored: where it rotates, the old token is dead',
  },
  'access-token-stored': {
    at: ['after store.storeRefreshed'],
    doubt: 'what a refresh for the company brought is stored, the company has no answer and asks again',
  },
  'access-token-failed': {
    at: ['after store.failRefresh'],
    doubt: 'a refresh for the company brought nothing, which is stored, the company has no answer and asks again',
  },
  'access-token-rejected': {
    at: ['after store.rejectRefresh'],
    doubt: 'the provider refuses the token, which is stored, the company has no answer and asks again',
  },
  'access-token-shown': {
    at: ['after store.noteShown'],
    doubt: 'the event of a token that was there is committed, the company has no answer and asks again',
  },
  'access-token-of-exchange': {
    at: ['after store.keepAccessToken'],
    doubt: 'the access token of an exchange is kept for the company, nothing is proven',
  },
  // A stored secret does not open.
  'quarantined-for-token': {
    at: ['after store.closeByRule(consent)'],
    doubt: 'a consent is out of the loop, the job that came across it has not failed yet',
  },
  'quarantined-for-code': {
    at: ['after store.quarantineConsent'],
    doubt: 'the same, where the code of an authorisation does not open',
  },
  'quarantined-by-visit': {
    at: ['after store.quarantineConsent'],
    doubt: 'the same, and the user who pressed the button has no answer',
  },
} as const satisfies Record<string, Point>

export type PointName = keyof typeof crashPoints

/** Calls after which nothing is in doubt: they write nothing, or stand for one that is a point. */
const harmless: ReadonlySet<string> = new Set([
  'queue.countWaiting',
  'store.findStuckCodes',
  'store.getAttempt',
  'store.getHealth',
  'store.getRenewalPage',
  'store.getRenewalPageByDoneId',
  'store.getView',
  'store.placeInHour',
  'store.findConsent',
  'store.readAccessToken',
  'store.readPendingToken',
  'store.readRefreshToken',
  'store.readTokens',
  'store.findCanary',
  'store.sinceLastSweep',
  'visits.visitStartPage',
  // Deletes answers that no repetition gets any more; the next sweep deletes what is left.
  'store.purgeAnswers',
  'store.purgeWebhookTries',
  'store.readAccess',
  // Counts the refresh that comes next: point `before-settling`.
  'store.beginSettling',
  // The provider's answers, inside the circuit breaker: point `answer-unnoted`, or after it those of `provider`.
  'truelayer.exchangeCode',
  'truelayer.makeLink',
  'truelayer.readMe',
  'truelayer.refresh',
])

/**
 * Whether the suite has thought of a place. Dying before a call is dying after the call before it, and a call that
 * failed has left nothing. A call that was in vain has left nothing that a death could put in doubt: most found nothing
 * to do; `countFailure` below its threshold has stored a strike, and `closeCircuit` of a circuit that was not open may
 * have deleted strikes, which only move the moment at which the circuit opens.
 */
export const isKnown = (place: string): boolean =>
  !place.startsWith('after ') ||
  Object.values<Point>(crashPoints).some(({ at }) => at.includes(place)) ||
  place.endsWith(' in vain') ||
  harmless.has(place.replace(/^after /, '').replace(/\(\w+\)$/, ''))
