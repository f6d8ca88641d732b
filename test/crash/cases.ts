// Which situations pass each crash point, and at which visit the process is struck there.
import type { PointName } from './points.ts'
import { type Mode, modes } from './order.ts'
import type { SituationName } from './situations.ts'

interface Passing {
  readonly situation: SituationName
  /** The visit at which the process is struck; by default the first. */
  readonly nth?: number
  /**
   * Struck in one of these modes, the process leaves a doubt that only the user can end; in the others the user must
   * not notice.
   */
  readonly asksAgain?: readonly Mode[]
  /** The modes after which a message is uncertain: nobody can know whether the mail server took it. */
  readonly uncertain?: readonly Mode[]
  /** The modes after which a message is sent a second time, because nobody can know whether it had left. */
  readonly repeated?: readonly Mode[]
  /**
   * The modes in which the user, who has the mail, may be faster than the next worker or slower: the message is then
   * uncertain, because nobody wants it any more, or it is repeated. Both are right.
   */
  readonly repeatedOrUncertain?: readonly Mode[]
}

const everyMode = modes

const passings: Record<PointName, readonly Passing[]> = {
  'job-taken': [{ situation: 'a consent is due, the sweep is elsewhere' }],
  'claim-to-be-given-back': [
    { situation: 'the provider fails to make a link' },
    { situation: 'a stored code does not open' },
  ],
  'claim-given-back': [
    { situation: 'the provider fails to make a link' },
    { situation: 'a stored code does not open' },
  ],
  'job-to-be-tried-again': [{ situation: 'the provider fails to make a link' }],
  'failure-recorded': [{ situation: 'a stored code does not open' }],
  'sweep-ended': [{ situation: 'a consent is due' }],
  'reauth-ended': [
    { situation: 'a consent is due' },
    { situation: 'nothing is due' },
    { situation: 'the grace window is over' },
    { situation: 'the provider refuses a link' },
  ],
  'notify-ended': [
    { situation: 'a consent is due' },
    { situation: 'the mail server puts a message off' },
    { situation: 'a message has lost its address' },
  ],
  'exchange-ended': [
    { situation: 'the user approves' },
    { situation: 'the provider asks to slow down' },
    { situation: 'the provider shows the new date late' },
    { situation: 'a code is lost on its way' },
    { situation: 'two codes come at once' },
  ],
  'job-failed': [{ situation: 'a stored code does not open' }],
  'record-dispatched': [{ situation: 'the provider refuses the code' }],
  'record-queued': [
    { situation: 'a consent is due, sweeps are rare' },
    { situation: 'the user comes back, sweeps are rare' },
  ],
  'record-refused': [{ situation: 'the user comes back while the queue is away' }],
  'states-expired': [{ situation: 'a state is too old' }],
  'page-dispatched': [{ situation: 'a consent is due' }],
  'page-queued': [{ situation: 'a consent is due' }],
  'page-refused': [{ situation: 'the queue goes away during a sweep' }],
  'mark-taken-back': [
    { situation: 'the queue goes away during a sweep' },
    { situation: 'the user comes back while the queue is away' },
  ],
  'sweep-dispatched': [{ situation: 'a consent is due' }],
  'sweep-recorded': [{ situation: 'a consent is due' }],
  'events-placed': [{ situation: 'a consent is due' }],
  // The first registration is that of the start.
  'schedule-registered': [{ situation: 'a consent is due', nth: 2 }],
  'consent-claimed': [{ situation: 'a consent is due' }],
  'before-link': [{ situation: 'a consent is due' }, { situation: 'the user comes after the link has aged' }],
  'link-answered': [
    { situation: 'a consent is due' },
    { situation: 'the provider refuses a link' },
    { situation: 'the user comes after the link has aged' },
  ],
  'back-off-committed': [{ situation: 'the provider refuses a link' }],
  'date-committed': [{ situation: 'nothing is due' }],
  'step-committed': [{ situation: 'a consent is due' }],
  'circuit-opened': [{ situation: 'the third rejection in a row', asksAgain: ['killed', 'hung'] }],
  'trial-taken': [
    { situation: 'the circuit is open' },
    { situation: 'the circuit is open when the code comes', asksAgain: ['killed'] },
  ],
  'secret-checked': [{ situation: 'the circuit is open' }],
  'circuit-closed': [{ situation: 'the circuit is open' }, { situation: 'the circuit is open when the code comes' }],
  'message-claimed': [{ situation: 'a consent is due' }],
  'message-revived': [{ situation: 'a person retries a refused message' }],
  'sending-committed': [{ situation: 'a consent is due', repeated: everyMode }],
  'mail-server-greeted': [{ situation: 'a consent is due' }],
  'mail-leaving': [{ situation: 'a consent is due', repeated: ['killed'] }],
  'late-answer-noted': [{ situation: 'the mail server answers late', uncertain: ['killed'] }],
  'repeat-committed': [{ situation: 'a worker has died over a message', uncertain: everyMode, repeated: everyMode }],
  'mail-answered': [
    { situation: 'a consent is due', repeatedOrUncertain: everyMode },
    { situation: 'the mail server puts a message off' },
    // Who hangs here still has its timers: it notes that the answer is late, and after that nothing is repeated.
    {
      situation: 'the mail server puts a message off after its last byte',
      repeated: ['killed', 'thrown'],
      uncertain: ['hung'],
    },
  ],
  'outcome-of-mail-committed': [{ situation: 'a consent is due' }],
  'message-rescheduled': [{ situation: 'the mail server puts a message off' }],
  'message-cancelled': [{ situation: 'a message has lost its address' }],
  'before-handing-out': [{ situation: 'the user comes back' }],
  'link-handed-out': [{ situation: 'the user comes back' }],
  'link-added': [{ situation: 'the user comes after the link has aged' }],
  'before-departure': [{ situation: 'the user comes back' }],
  'before-receiving': [
    { situation: 'the user comes back' },
    { situation: 'the company forwards a callback' },
    { situation: 'the user refuses at the bank' },
  ],
  'code-committed': [{ situation: 'the user comes back' }],
  'refusal-committed': [{ situation: 'the user refuses at the bank' }],
  'before-callback-answer': [{ situation: 'the user comes back' }],
  'before-api-answer': [{ situation: 'the company forwards a callback' }],
  'authorisation-claimed': [{ situation: 'the user approves' }],
  'exchanging-committed': [{ situation: 'the user approves', asksAgain: ['killed', 'thrown'] }],
  // The first visit belongs to the answer to the request for a link.
  'answer-unnoted': [
    { situation: 'a code brings a new token', nth: 2, asksAgain: ['killed'] },
    { situation: 'a refresh brings a new token', nth: 3, asksAgain: ['killed'] },
  ],
  'code-answered': [
    { situation: 'the user approves' },
    { situation: 'the provider refuses the code' },
    { situation: 'the provider asks to slow down', asksAgain: everyMode },
    { situation: 'a code brings a new token', asksAgain: ['killed', 'thrown'] },
    { situation: 'a full authentication', asksAgain: everyMode },
  ],
  'code-requeued': [{ situation: 'the provider asks to slow down' }],
  'code-waits': [{ situation: 'two codes come at once' }],
  'tokens-beside': [{ situation: 'another answer is stored during an exchange' }],
  'tokens-stored': [{ situation: 'the user approves' }, { situation: 'tokens come without a name' }],
  'before-asking-again': [
    { situation: 'the provider refuses the code' },
    { situation: 'somebody else approves' },
    { situation: 'a code is lost on its way' },
  ],
  'me-answered': [{ situation: 'the user approves' }],
  'poll-scheduled': [{ situation: 'the provider shows the new date late' }],
  'date-awaited': [{ situation: 'the provider shows the new date a day late' }],
  'before-settling': [{ situation: 'the answer to a code is lost' }],
  'refresh-answered': [
    { situation: 'the answer to a code is lost' },
    { situation: 'the provider shows the new date a day late' },
  ],
  'refresh-kept': [{ situation: 'a refresh brings a new token' }],
  'candidate-accepted': [{ situation: 'the company refreshed beside us, and the answer to a code is lost' }],
  'candidate-rejected': [{ situation: 'an old export was imported, and the answer to a code is lost' }],
  'pending-token-kept': [{ situation: 'another answer is stored, and nothing was renewed' }],
  'settling-me-answered': [{ situation: 'the answer to a code is lost' }],
  // The first time the outcome is in doubt because no answer came.
  'change-noted': [{ situation: 'another answer is stored meanwhile', nth: 2 }],
  'tokens-adopted': [
    { situation: 'tokens come without a name' },
    { situation: 'another answer is stored, and nothing was renewed' },
  ],
  'renewal-committed': [{ situation: 'the user approves' }, { situation: 'a full authentication' }],
  'access-token-asked': [{ situation: 'the company asks for an access token, and the provider rotates' }],
  'access-token-answered': [
    { situation: 'the company asks for an access token' },
    { situation: 'the company asks for an access token, and the provider rotates' },
  ],
  'access-token-stored': [{ situation: 'the company asks for an access token, and the provider rotates' }],
  'access-token-failed': [{ situation: 'the company asks for an access token, and the provider is busy' }],
  'access-token-rejected': [{ situation: 'the company asks for an access token, and its token is dead' }],
  'access-token-shown': [{ situation: 'the company asks again for an access token' }],
  'access-token-of-exchange': [{ situation: 'the company has asked for an access token, and the user approves' }],
  'quarantined-for-token': [{ situation: 'a stored token does not open' }],
  'quarantined-for-code': [{ situation: 'a stored code does not open' }],
  'quarantined-by-visit': [{ situation: 'the stored token does not open when the button is pressed' }],
}

export interface Case {
  readonly point: PointName
  readonly situation: SituationName
  readonly nth: number
  readonly asksAgain: readonly Mode[]
  readonly uncertain: readonly Mode[]
  readonly repeated: readonly Mode[]
  readonly repeatedOrUncertain: readonly Mode[]
}

/** Every crash point in every situation in which it is tried. */
export const cases: readonly Case[] = Object.entries(passings).flatMap(([point, list]) =>
  list.map(({ situation, nth = 1, asksAgain = [], uncertain = [], repeated = [], repeatedOrUncertain = [] }) => ({
    point: point as PointName,
    situation,
    nth,
    asksAgain,
    uncertain,
    repeated,
    repeatedOrUncertain,
  })),
)
