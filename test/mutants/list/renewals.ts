// Mistakes in what counts as a renewal: the connection, the proof, the import, errors that are not the consent's fault.
import { type Mutant, tests } from '../mutant.ts'

const connection: readonly Mutant[] = [
  {
    id: 'connection-of-tokens',
    mistake: 'skip the same-connection check',
    how: 'tokens that answer the code of our own link are taken for ours',
    breaks: 'rule 6, invariant 4',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: 'if (credentialsId === consent.credentialsId || (credentialsId === undefined && isStoredToken))',
        replace: 'if (keepsConnection(attempt.route) || credentialsId === consent.credentialsId || isStoredToken)',
      },
    ],
    caughtBy: [{ file: 'test/processors/loop.test.ts', only: 'another user approved' }],
  },
  {
    id: 'connection-of-me',
    mistake: 'skip the same-connection check',
    how: 'the exchange has looked at `sub` already, so /me is read for its dates alone; not every token has a `sub`',
    breaks: 'rule 6, invariant 4',
    edits: [
      {
        file: 'src/domain/reading.ts',
        find: 'const ours = owner === consent.credentialsId',
        replace: 'const ours = keepsConnection(attempt.route) || owner === consent.credentialsId',
      },
    ],
    caughtBy: [{ file: tests.verify, only: 'whose tokens they are' }],
  },
  {
    id: 'connection-nowhere',
    mistake: 'skip the same-connection check',
    how: 'both at once: whoever approves, it is a renewal',
    breaks: 'rule 6, invariants 4 and 5',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find: 'if (credentialsId === consent.credentialsId || (credentialsId === undefined && isStoredToken))',
        replace: 'if (keepsConnection(attempt.route) || credentialsId === consent.credentialsId || isStoredToken)',
      },
      {
        file: 'src/domain/reading.ts',
        find: 'const ours = owner === consent.credentialsId',
        replace: 'const ours = keepsConnection(attempt.route) || owner === consent.credentialsId',
      },
    ],
    caughtBy: [{ file: 'test/processors/loop.test.ts', only: 'another user approved' }],
  },
  {
    id: 'connection-of-another-bank',
    mistake: 'skip the same-connection check',
    how: 'the connection is compared, the bank behind it is not',
    breaks: 'rule 6',
    edits: [
      {
        file: 'src/domain/reading.ts',
        find:
          '  if (me.providerId !== undefined && me.providerId !== consent.providerId) return { kind: ' +
          "'mismatched' }\n",
        replace: '',
      },
    ],
    caughtBy: [{ file: 'test/processors/full-route.test.ts', only: 'at a different bank' }],
  },
]

const proof: readonly Mutant[] = [
  {
    id: 'proof-by-unowned-answer',
    mistake: 'accept a success without proof',
    how:
      'the code was answered with 200 and the stored token sees our connection: whose tokens the 200 brought is ' +
      'not asked',
    breaks: 'rule 6, invariant 5',
    edits: [
      {
        file: 'src/domain/reading.ts',
        find:
          'ownCodeSentAt:\n' +
          "      isCleanAnswer && !(by === 'stored' && attempt.tokenOwner !== 'ours') ? " +
          'attempt.exchangeStartedAt : undefined,',
        replace: 'ownCodeSentAt: isCleanAnswer ? attempt.exchangeStartedAt : undefined,',
      },
    ],
    caughtBy: [{ file: tests.codes, only: 'the owner of the pending token, no dates' }],
  },
  {
    id: 'proof-by-tokens',
    mistake: 'accept a success without proof',
    how: 'the provider gave tokens for the code, so it is renewed for ninety days; nobody reads /me',
    breaks: 'rule 6, invariant 5',
    edits: [
      {
        file: 'src/domain/exchange.ts',
        find:
          "if (heard?.from !== 'me') return { do: 'read-me', by: 'exchange', " +
          "reason: 'a clean exchange is proven by /me' }",
        replace:
          'const expiresAt = (attempt.answeredAt ?? attempt.issuedAt).plus({ days: 90 })\n' +
          "  if (heard?.from !== 'me')\n" +
          '    return {\n' +
          "      do: 'commit-renewed',\n" +
          "      proof: { proven: true, basis: 'clean-exchange-without-dates', " +
          "expiresAt, expiresSource: 'assumed' },\n" +
          "      owner: 'ours',\n" +
          '      requestedAt: facts.now,\n' +
          "      reason: 'the provider gave tokens',\n" +
          '    }',
      },
    ],
    caughtBy: [{ file: tests.verify, only: '/me lags behind' }],
  },
  {
    id: 'proof-by-clean-answer',
    mistake: 'accept a success without proof',
    how: 'a clean 200 is the proof where /me gives no dates; here also where it gives the old one',
    breaks: 'rule 6, invariant 5',
    edits: [
      {
        file: 'src/domain/proof.ts',
        find: '? laterThanKnown(input)',
        replace: '? (laterThanKnown(input) ?? withoutExpiry(input))',
      },
      {
        file: 'src/domain/proof.ts',
        find: ': (changedSince(input) ?? fullValiditySince(input))',
        replace: ': (changedSince(input) ?? fullValiditySince(input) ?? withoutExpiry(input))',
      },
    ],
    caughtBy: [{ file: tests.proof }],
  },
  {
    id: 'proof-by-any-later-date',
    mistake: 'accept a success without proof',
    how: 'a date later than an imported one, which may itself be days off, is believed',
    breaks: 'rule 6, invariant 5',
    edits: [
      { file: 'src/domain/proof.ts', find: "input.known.source === 'me'", replace: "input.known.source !== 'assumed'" },
    ],
    caughtBy: [{ file: tests.proof }],
  },
  {
    id: 'proof-by-a-moment',
    mistake: 'accept a success without proof',
    how: 'against a date of /me any later one is enough, however little it moved',
    breaks: 'rule 6, invariant 5',
    edits: [
      {
        file: 'src/domain/proof.ts',
        find:
          'if (me.consentExpiresAt.toMillis() - known.expiresAt.toMillis() >= minMs)\n' +
          "    return fromMe('later-than-known', me.consentExpiresAt)",
        replace: "if (me.consentExpiresAt > known.expiresAt) return fromMe('later-than-known', me.consentExpiresAt)",
      },
    ],
    caughtBy: [{ file: tests.proof }],
  },
  {
    id: 'proof-by-refresh',
    mistake: 'accept a success without proof',
    how: 'a refresh that works proves the renewal; before the old expiry it works in any case',
    breaks: 'rule 6, invariant 5',
    edits: [
      {
        file: 'src/domain/proof.ts',
        find: 'const renewedSince = refreshedAt !== undefined && refreshedAt >= known.expiresAt.plus(EXPIRY_SETTLED)',
        replace: 'const renewedSince = refreshedAt !== undefined',
      },
    ],
    caughtBy: [{ file: tests.settle, only: 'unknown and /me gives no dates' }],
  },
  {
    id: 'proof-not-recorded',
    mistake: 'accept a success without proof',
    how: 'the renewal is closed as renewed and the proof left to the event, which names its basis',
    breaks: 'rule 6, invariant 5',
    edits: [
      {
        file: 'src/store/settlement.ts',
        find:
          '      proof: {\n' +
          '        basis: proof.basis,\n' +
          '        authorisation_id: claim.id,\n' +
          '        expires_at: isoText(proof.expiresAt),\n' +
          '        expires_source: proof.expiresSource,\n' +
          '        proven_at: isoText(proof.provenAt),\n' +
          '      },\n',
        replace: '',
      },
    ],
    caughtBy: [{ file: tests.verify, only: '/me without dates' }],
  },
]

const imported: readonly Mutant[] = [
  {
    id: 'import-any-other-date',
    mistake: 'let an import move the expiry back',
    how: 'a row whose date differs is news, whatever the direction',
    breaks: 'rule 6, "a row never moves the expiry back"',
    edits: [
      {
        file: 'src/domain/import-decision.ts',
        find: 'const isLater = movedByMs >= SAME_DATE_MS',
        replace: 'const isLater = Math.abs(movedByMs) >= SAME_DATE_MS',
      },
    ],
    caughtBy: [{ file: tests.import, only: 'moves nothing back' }],
  },
  {
    id: 'import-unlocked',
    mistake: 'let an import move the expiry back',
    how: 'the rows of a batch are read without their locks: one that is renewed meanwhile is written back as it was',
    breaks: 'rule 3, "a row never moves the expiry back"',
    edits: [
      {
        file: 'src/store/import-reads.ts',
        find: 'ORDER BY id FOR UPDATE\n',
        replace: 'ORDER BY id\n',
      },
    ],
    caughtBy: [{ file: tests.import, only: 'which is being committed just now' }],
  },
]

const outage: readonly Mutant[] = [
  {
    id: 'outage-counts',
    mistake: "count an outage as the consent's failure",
    how: 'when the queue has given up on a job, the consent has failed once more',
    breaks: 'rule 4, "an outage is nobody’s failure"',
    edits: [
      {
        file: 'src/processors/renew-consent.ts',
        find: 'code: error.code, counts: false',
        replace: 'code: error.code, counts: true',
      },
    ],
    caughtBy: [{ file: tests.renew, only: 'the provider is unavailable' }],
  },
  {
    id: 'open-circuit-counts',
    mistake: "count an outage as the consent's failure",
    how: 'a consent that is held back because our own credentials are refused is counted like a refused one',
    breaks: 'rule 4, "an outage is nobody’s failure"',
    edits: [
      {
        file: 'src/processors/renew-consent.ts',
        find: "code: 'provider-circuit-open', counts: false",
        replace: "code: 'provider-circuit-open', counts: true",
      },
    ],
    caughtBy: [{ file: 'test/processors/circuit-breaker.test.ts', only: 'many 401 for links' }],
  },
  {
    id: 'gateway-page-rejects',
    mistake: "count an outage as the consent's failure",
    how: 'every 4xx is the provider’s no to this connection, also a gateway’s page in HTML',
    breaks: 'rule 4, "an outage is nobody’s failure"',
    edits: [
      {
        file: 'src/provider/truelayer/reauth/route.ts',
        find: '&& status !== 429 && body !== undefined',
        replace: '&& status !== 429',
      },
      {
        file: 'src/provider/truelayer/reauth/route.ts',
        find: 'providerError: errorWord(body), blames: blameOf(status, body) }',
        replace: 'providerError: errorWord(body ?? {}), blames: blameOf(status, body ?? {}) }',
      },
    ],
    caughtBy: [{ file: tests.renew, only: 'the provider is unavailable' }],
  },
]

const tokens: readonly Mutant[] = [
  {
    id: 'token-newer-arrival',
    mistake: 'take the newer arrival for the newer token',
    how: 'an import that brings another token replaces ours, as the company must know',
    breaks: 'invariant 4, "arrival proves nothing"',
    edits: [
      {
        file: 'src/domain/import-token.ts',
        find: "if (!isReadable) return { kind: 'replaces' }",
        replace: "if (!isReadable || standing === 'new') return { kind: 'replaces' }",
      },
    ],
    caughtBy: [{ file: 'test/store/import-tokens.test.ts', only: 'a token that differs' }],
  },
  {
    id: 'token-arrival-before-issue',
    mistake: 'take the newer arrival for the newer token',
    how: 'which token is tried first follows from the arrival alone, whatever the dates of issue say',
    breaks: '"arrival proves nothing"',
    edits: [
      {
        file: 'src/domain/token-order.ts',
        find: '? issuedAt > tokenIssuedAt',
        replace: '? tokenAcceptedAt === undefined || arrivedAt > tokenAcceptedAt',
      },
    ],
    caughtBy: [{ file: 'test/domain/token-order.test.ts' }],
  },
  {
    id: 'token-dropped-unjudged',
    mistake: 'take the newer arrival for the newer token',
    how: 'the token that a candidate takes the place of is taken for dead, although nobody has tried it',
    breaks: 'invariant 4, "barred are only tokens that the provider rejected"',
    edits: [
      {
        file: 'src/store/refresh-token.ts',
        find: "rejected.some(({ place }) => place === 'current') ? 'rejected' : 'kept'",
        replace: "rejected.length < 2 ? 'rejected' : 'kept'",
      },
    ],
    caughtBy: [{ file: tests.tokens, only: 'is made with the token that the company refreshed' }],
  },
  {
    id: 'token-promoted-during-exchange',
    mistake: 'throw away a late token response',
    how: 'a link that is made with the candidate makes it the current token at once, also while a code is exchanged',
    breaks: '"an import never disturbs an exchange"',
    edits: [
      {
        file: 'src/store/refresh-token.ts',
        find: 'if (underWay.length > 0 || token === undefined) return',
        replace: 'if (underWay.length > 9 || token === undefined) return',
      },
    ],
    caughtBy: [{ file: tests.tokens, only: 'does not make it the current one before' }],
  },
  {
    id: 'token-rejection-is-ours',
    mistake: "count a connection's 401 as ours",
    how: 'ten connections that are rejected at once hold all links, and nobody asks whether one that worked still does',
    breaks: '"a rejection is the connection’s until shown otherwise"',
    edits: [
      {
        file: 'src/processors/circuit-breaker.ts',
        find: '(asksCanary && (await isTheirs()))',
        replace: "(asksCanary && connection === '' && (await isTheirs()))",
      },
    ],
    caughtBy: [{ file: tests.tokens, only: 'it is theirs, and work goes on' }],
  },
  {
    id: 'token-rejected-told-at-once',
    mistake: 'publish token.rejected at the first 401',
    how: 'the first 401 of a connection is its own, and the company is told',
    breaks: '"the event token.rejected is published only after the verdict"',
    edits: [
      {
        file: 'src/domain/token-rejection.ts',
        find: 'FIRST_REJECTION_RESTS), isOwn: false, tells: false }',
        replace: 'FIRST_REJECTION_RESTS), isOwn: true, tells: true }',
      },
    ],
    caughtBy: [
      { file: 'test/domain/token-rejection.test.ts' },
      { file: tests.tokens, only: 'rests five minutes untold' },
    ],
  },
]

export const renewals: readonly Mutant[] = [...connection, ...proof, ...imported, ...outage, ...tokens]
