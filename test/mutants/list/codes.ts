// Mistakes with codes: a code is answered before it is safe, sent again, given up, or its answer is thrown away.
import { type Mutant, tests } from '../mutant.ts'

const code: readonly Mutant[] = [
  {
    id: 'code-again-after-time-out',
    mistake: 'retry the code after a time-out',
    how: 'no answer within our patience is taken for "not processed", so the code is sent again while it lives',
    breaks: 'rule 5, invariant 2',
    edits: [
      {
        file: 'src/provider/truelayer/failures.ts',
        find: "return reply.sent === 'no'",
        replace: "return reply.sent === 'no' || reply.code === 'provider-timeout'",
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'the answer was lost after the provider had processed it' }],
  },
  {
    id: 'code-again-after-408',
    mistake: 'retry the code after a time-out',
    how: 'a 408 is treated like the 429 above it: RFC 9110 says that such a request may be repeated',
    breaks: 'rule 5, invariant 2',
    edits: [
      {
        file: 'src/provider/truelayer/failures.ts',
        find: "if (status === 408) return { kind: 'in-doubt', code: 'provider-timeout' }",
        replace: "if (status === 408) return { kind: 'not-processed', code: 'provider-timeout', retryAfterMs }",
      },
    ],
    caughtBy: [{ file: 'test/provider/truelayer/token-answers.test.ts' }],
  },
  {
    id: 'code-again-behind-proxy',
    mistake: 'retry the code after a time-out',
    how: 'a call through a proxy is judged by the connection to the proxy, which never comes to TLS with the provider',
    breaks: 'rule 5, invariant 2',
    edits: [
      {
        file: 'src/provider/truelayer/http.ts',
        find: "if (error === null) phase = 'open'",
        replace: "if (error === null) outer?.once('secureConnect', () => (phase = 'open'))",
      },
    ],
    caughtBy: [{ file: 'test/provider/truelayer/through-proxy.test.ts', only: 'TLS stood inside the tunnel' }],
  },
  {
    id: 'code-on-a-kept-connection',
    mistake: 'retry the code after a time-out',
    how: 'a kept connection that was reset has carried nothing, so any call may use one and be asked again',
    breaks: 'rule 5, invariant 2',
    edits: [
      {
        file: 'src/provider/truelayer/http.ts',
        find: ': call.isRepeatable\n        ? shared(call.url)\n        : direct(call.url)',
        replace: ': shared(call.url)',
      },
    ],
    caughtBy: [{ file: 'test/provider/truelayer/kept-connections.test.ts', only: 'never do' }],
  },
  {
    id: 'code-again-after-lease',
    mistake: 'retry the code after a time-out',
    how: 'a worker whose lease ran out while it was sending is taken for dead, and its code for unsent',
    breaks: 'rule 5, invariant 2',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find:
          'const interrupted = (): ExchangeStep =>\n' +
          "  doubt('exchange-interrupted', 'the process stopped while the code was being sent')",
        replace:
          'const interrupted = ({ now }: ExchangeFacts): ExchangeStep => ({\n' +
          "  do: 'requeue',\n" +
          '  until: now,\n' +
          "  code: 'exchange-interrupted',\n" +
          "  reason: 'the exchange was interrupted: it is taken up again',\n" +
          '})',
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'the worker died while it was sending' }],
  },
]

const callback: readonly Mutant[] = [
  {
    id: 'answer-without-waiting',
    mistake: 'answer the browser before the commit',
    how: 'every state gets the same answer anyway, so the browser need not wait for the database',
    breaks: 'rule 5, invariant 3',
    edits: [
      {
        file: 'src/http/routes/callback.ts',
        find:
          'const taken = await commitCallback(deps, callback, deps.commitWithinMs)\n' +
          "      if (taken.kind !== 'unknown-state') return reply.redirect(`/done/${taken.doneId}`, 303)",
        replace:
          'commitCallback(deps, callback, deps.commitWithinMs).catch((error: unknown) =>\n' +
          '        logFailure(deps.log, request, error),\n' +
          '      )\n' +
          '      return reply.redirect(`/done/${newDoneId()}`, 303)',
      },
    ],
    caughtBy: [{ file: tests.callback, only: 'with the database unavailable' }],
  },
  {
    id: 'answer-when-slow',
    mistake: 'answer the browser before the commit',
    how: 'a commit that takes too long is answered neutrally; it will surely come through in a moment',
    breaks: 'rule 5, invariant 3',
    edits: [
      {
        file: 'src/http/routes/callback.ts',
        find:
          'const answer = await within(ms, receiveCallback(callback), () => {\n      throw new ' +
          "TransientError('database-unavailable')\n    })",
        replace:
          'const answer = await within(ms, receiveCallback(callback), (): CallbackAnswer => ({ kind: ' +
          "'unknown-state' }))",
      },
    ],
    caughtBy: [{ file: tests.callback, only: 'a database that does not answer: the user' }],
  },
]

const conclusions: readonly Mutant[] = [
  {
    id: 'concluded-at-once',
    mistake: 'conclude "not renewed" at once',
    how: 'the provider shows the old date: the user is asked again without any delay',
    breaks: 'rule 5, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: 'if (mayConcludeNotRenewed(cameAt, at)) return notRenewed(code)',
        replace: 'if (cameAt <= at) return notRenewed(code)',
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'the provider had not processed it' }],
  },
  {
    id: 'concluded-at-six-minutes',
    mistake: 'conclude "not renewed" at once',
    how: 'six minutes after its code an exchange can no longer take effect, so the old date is final',
    breaks: 'rule 6, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: 'if (mayConcludeNotRenewed(cameAt, at)) return notRenewed(code)',
        replace: 'if (!mayCodeStillAct(cameAt, at)) return notRenewed(code)',
      },
    ],
    caughtBy: [{ file: tests.lateDate, only: 'asked about at once and at six minutes, then awaited' }],
  },
  {
    id: 'an-outage-ends-the-wait',
    mistake: 'conclude "not renewed" at once',
    how: 'the last poll for a late date brings no answer: the day is over all the same',
    breaks: 'rule 6, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: "    case 'in-doubt':\n      return pollOnceMore(facts, at, answer.code)",
        replace: "    case 'in-doubt':\n      return notRenewedOrAwait(facts, at, 'not-proven')",
      },
    ],
    caughtBy: [{ file: tests.lateDate, only: 'answers with an error' }],
  },
  {
    id: 'awaiting-holds-nothing',
    mistake: 'conclude "not renewed" at once',
    how: 'the exchange is over, so that the ladder and the end of grace go on while its date may still come',
    breaks: 'invariant 3',
    edits: [
      {
        file: 'src/domain/in-progress.ts',
        find: 'isInDoubt(attempt) || isAwaitingDate(attempt)',
        replace: 'isInDoubt(attempt)',
      },
    ],
    caughtBy: [{ file: tests.lateDate, only: 'the rung of the day is held' }],
  },
  {
    id: 'old-answer-judged-by-the-clock',
    mistake: 'conclude "not renewed" at once',
    how: 'the process slept over an answer of the first second, and concludes from it what only a later one could tell',
    breaks: 'rule 5, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: 'if (mayConcludeNotRenewed(cameAt, at)) return notRenewed(code)',
        replace: 'if (mayConcludeNotRenewed(cameAt, facts.now)) return notRenewed(code)',
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'a date that had not moved yet' }],
  },
  {
    id: 'settled-beside-a-later-code',
    mistake: 'a date older than the provider’s',
    how: 'an exchange in doubt is settled while a later code of the user is being sent',
    breaks: 'invariant 5',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: '  const later = laterCodesOut(attempt, others, now)\n',
        replace: '  const later: readonly Authorisation[] = []\n',
      },
      {
        file: 'src/domain/exchange.ts',
        find: '  const later = laterDatesOut(attempt, others, now)\n',
        replace: '  const later: readonly Authorisation[] = []\n',
      },
      {
        file: 'src/store/settlement.ts',
        find: "if (isLaterCodeOut(authorisation, others, proof.requestedAt)) return 'later-code-out'\n",
        replace: '',
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'the second is being sent while the first is settled' }],
  },
  {
    id: 'committed-beside-a-later-code',
    mistake: 'a date older than the provider’s',
    how: 'a later code was sent between `/me` and the commit',
    breaks: 'invariant 5',
    edits: [
      {
        file: 'src/store/settlement.ts',
        find: "if (isLaterCodeOut(authorisation, others, proof.requestedAt)) return 'later-code-out'\n",
        replace: '',
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'the second is sent after `/me` was read for the first' }],
  },
  {
    id: 'committed-beside-a-doubt',
    mistake: 'a date older than the provider’s',
    how: 'six minutes after its sending, a later code in doubt is taken for settled, though its date may come late',
    breaks: 'invariant 5',
    edits: [
      {
        file: 'src/domain/in-progress.ts',
        find: '(wasSentAfter(own, other) && isUnsettled(other) && isSentFor(other, DATE_SHOWN_WITHIN, now)),',
        replace: '(wasSentAfter(own, other) && isUnsettled(other) && isSentFor(other, CODE_ACTS_WITHIN, now)),',
      },
      {
        file: 'src/store/settlement.ts',
        find: 'requestedAt.minus(DATE_SHOWN_WITHIN).toJSDate()',
        replace: 'requestedAt.toJSDate()',
      },
    ],
    caughtBy: [{ file: 'test/domain/exchange.test.ts', only: 'an outcome in doubt' }],
  },
  {
    id: 'an-earlier-codes-date-taken',
    mistake: 'a date older than the provider’s',
    how: '`/me` lags behind the later code, and the earlier one’s date is taken for its own',
    breaks: 'invariant 5',
    edits: [
      {
        file: 'src/domain/reading.ts',
        find: 'mayShowEarlierCode: others.some(mayHaveMovedDate) && !isLastPoll,',
        replace: 'mayShowEarlierCode: false,',
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'still shows the date of the first while the second is proven' }],
  },
  {
    id: 'concluded-since-issue',
    mistake: 'conclude "not renewed" at once',
    how: 'the wait counts from the making of the link: a user who took ten minutes at the bank is told too early',
    breaks: 'rule 5, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: 'if (mayConcludeNotRenewed(cameAt, at)) return notRenewed(code)',
        replace: 'if (mayConcludeNotRenewed(attempt.issuedAt, at)) return notRenewed(code)',
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'after ten minutes at the bank' }],
  },
  {
    id: 'concluded-from-silence',
    mistake: 'conclude "not renewed" at once',
    how: 'no date in /me is taken for the old one',
    breaks: 'rule 6, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: "if (judgement.kind === 'unproven' && judgement.reason === 'date-not-moved') {",
        replace: "if (judgement.kind === 'unproven') {",
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'unknown and /me gives no dates' }],
  },
  {
    id: 'concluded-from-lag',
    mistake: 'conclude "not renewed" at once',
    how: 'after a clean exchange /me is asked once: an old date there is a no, not a "not yet"',
    breaks: 'rule 6, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: 'if (until !== undefined) return pollAgain(until, code, `${code}: asked again then`)',
        replace:
          "if (code === 'not-proven') return notRenewed('not-renewed')\n" +
          '  if (until !== undefined) return pollAgain(until, code, `${code}: asked again then`)',
      },
    ],
    caughtBy: [{ file: tests.verify, only: '/me lags behind' }],
  },
]

const late: readonly Mutant[] = [
  {
    id: 'tokens-only-while-exchanging',
    mistake: 'throw away a late token response',
    how: 'an answer is taken only by an authorisation that still waits for it: the next worker has called it unknown',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/store/attempt-tokens.ts',
        find: "locked.authorisation.status === 'renewed') return 'already-renewed'",
        replace: "locked.authorisation.status !== 'exchanging') return 'already-renewed'",
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'a worker with a stale claim' }],
  },
  {
    id: 'tokens-only-in-open-cycle',
    mistake: 'throw away a late token response',
    how: 'the cycle was closed while the code was out, so its answer is nobody’s any more; the old token is dead',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/store/attempt-tokens.ts',
        find: "locked.authorisation.status === 'renewed') return 'already-renewed'",
        replace:
          "locked.authorisation.status === 'renewed' || locked.renewal.status !== 'open') return 'already-renewed'",
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'the cycle was closed while a code was being exchanged' }],
  },
  {
    id: 'tokens-by-status',
    mistake: 'throw away a late token response',
    how: 'each step follows from the stored status, and another worker has made that `unknown` while the answer came',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: "if (heard?.from === 'exchange') return",
        replace: "if (heard?.from === 'exchange' && status === 'exchanging') return",
      },
      {
        file: 'src/processors/advance-attempt.ts',
        find: "step.do === 'read-me' || progress.heard?.from === 'exchange'",
        replace: "step.do === 'read-me'",
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'a worker with a stale claim' }],
  },
  {
    id: 'tokens-behind-a-read',
    mistake: 'throw away a late token response',
    how: 'the attempt is read again before each step, also between the answer to a code and its storing',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/processors/advance-attempt.ts',
        find: "step.do === 'read-me' || progress.heard?.from === 'exchange'",
        replace: "step.do === 'read-me'",
      },
    ],
    caughtBy: [{ file: tests.verify, only: 'the database is unavailable when the tokens come' }],
  },
  {
    id: 'tokens-tried-once',
    mistake: 'throw away a late token response',
    how: 'one try to store the answer; if the database is away, the queue tries the job again',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/processors/advance-attempt.ts',
        find: 'await persist(async () => store.storeTokenResponse(claim, response), run.signal)',
        replace: 'await store.storeTokenResponse(claim, response)',
      },
    ],
    caughtBy: [{ file: tests.verify, only: 'the database is unavailable when the tokens come' }],
  },
  {
    id: 'rotated-token-tried-once',
    mistake: 'throw away a late token response',
    how: 'the same for the token that a settling refresh rotated',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/processors/advance-attempt.ts',
        find:
          '    (await persist(\n' +
          '      async () => storeRotated(store, { ...rotated, token, now: clock.now(), ' +
          'used: source.token, credentialsId }),\n' +
          '      run.signal,\n' +
          '    ))',
        replace:
          '    (await storeRotated(store, { ...rotated, token, now: clock.now(), used: source.token, credentialsId }))',
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'the settling refresh rotates the token' }],
  },
  {
    id: 'answer-stored-twice',
    mistake: 'throw away a late token response',
    how: 'a transaction that threw has written nothing, so a repetition has nothing to recognise',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/store/attempt-tokens.ts',
        find: "if (locked.authorisation.answeredAt?.getTime() === response.answeredAt.toMillis()) return 'stored'",
        replace: '',
      },
    ],
    caughtBy: [{ file: tests.inHand, only: 'the acknowledgement of a commit is lost' }],
  },
  {
    id: 'rotated-token-taken-for-another',
    mistake: 'throw away a late token response',
    how: 'the version is compared first: it has moved, so another token must have replaced the stored one',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/store/refresh-token.ts',
        find:
          '  if (token !== undefined && isSame(currentOf(vault, consent), token)) {\n' +
          '    await acceptCurrent(tx, vault, consent, now)\n' +
          '    return true\n' +
          '  }\n' +
          '  if (consent.tokenVersion !== version) return false\n',
        replace:
          '  if (consent.tokenVersion !== version) return false\n' +
          '  if (token !== undefined && isSame(currentOf(vault, consent), token)) {\n' +
          '    await acceptCurrent(tx, vault, consent, now)\n' +
          '    return true\n' +
          '  }\n',
      },
    ],
    caughtBy: [{ file: tests.inHand, only: 'the acknowledgement of a commit is lost' }],
  },
  {
    id: 'exchanged-token-overtaken',
    mistake: 'throw away a late token response',
    how: 'the same for the token that came with a code: the import knows better',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/store/attempt-tokens.ts',
        find:
          '    if (refreshToken !== undefined && authorisation.pendingRefreshToken === null)\n' +
          '      await keepAsPending(tx, vault, authorisation.id, refreshToken, consent.credentialsId)\n',
        replace: '',
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'stored token changed while a code' }],
  },
  {
    id: 'concluded-beside-another',
    mistake: 'conclude "not renewed" at once',
    how: 'the stored token is dead: there is nobody left to ask',
    breaks: 'rule 6, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: '  ![attempt, ...others.filter(isUnsettled)].every(wasRefused)',
        replace: '  ![attempt, ...others.filter(isUnsettled)].some(wasRefused)',
      },
    ],
    caughtBy: [
      { file: tests.codes, only: 'while another attempt’s pending token' },
      { file: tests.settle, only: 'rotated and not stored yet' },
    ],
  },
  {
    id: 'concluded-by-an-old-token',
    mistake: 'conclude "not renewed" at once',
    how: 'the provider refused the token that was stored when the refresh was sent',
    breaks: 'rule 6, invariant 3',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: " answer.kind === 'refused' && by === 'stored' && version !== consent.tokenVersion",
        replace: " answer.kind === 'refused' && by === 'stored' && version === 0",
      },
      {
        file: 'src/domain/exchange.ts',
        find: 'one.by === by && one.version === version',
        replace: 'one.by === by && version !== 0',
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'replaced meanwhile' }],
  },
  {
    id: 'rotated-token-overtaken',
    mistake: 'throw away a late token response',
    how:
      'another token took the place of the stored one meanwhile: the newer date wins, and the one in hand is ' +
      'dropped',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/store/attempt-tokens.ts',
        find: '      await keepBeside(tx, db.vault, consent, authorisationId, token, now)\n      return false',
        replace: '      return true',
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'during a refresh that rotated it' }],
  },
  {
    id: 'tokens-behind-note',
    mistake: 'throw away a late token response',
    how:
      'what an answer says of the provider is noted first, and a database that is away for a moment costs the ' +
      'answer',
    breaks: 'rule 3 (its exception), invariant 4',
    edits: [
      {
        file: 'src/processors/circuit-breaker.ts',
        find: "await noteIfPossible('client-rejected', connection, verdictOnClient(answer), health)",
        replace: "await note('client-rejected', connection, verdictOnClient(answer), health)",
      },
    ],
    caughtBy: [{ file: tests.inHand, only: 'the database is unavailable just when the circuit breaker notes' }],
  },
]

export const codes: readonly Mutant[] = [...code, ...callback, ...conclusions, ...late]
