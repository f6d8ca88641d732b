// The table of the refresh tokens that each consent has or had, as fingerprints. It says which tokens the provider has
// rejected or replaced itself, and to which consent a token belongs. Callers hold the locks of the consents.
import type { Secret } from '../secret.ts'
import { tokenFingerprint } from '../crypto/hashing.ts'
import { type Consent as ConsentRow, Prisma } from '../generated/prisma/client.ts'
import { arrayText } from './consent-columns.ts'
import type { Statements } from './statements.ts'

/**
 * `replaced`: another import took a candidate's place before the provider had judged it. Only `rejected` and
 * `superseded` were said by the provider, and only these bar a token.
 */
export type TokenState = 'current' | 'candidate' | 'replaced' | 'rejected' | 'superseded'

export interface TokenMark {
  readonly consentId: string
  /** In hexadecimal. */
  readonly fingerprint: string
  readonly state: TokenState
}

export interface KnownToken extends TokenMark {
  readonly credentialsId: string
}

/** How many tokens of a consent are remembered, the last ones. */
const REMEMBERED = 16

export const fingerprintOf = (token: Secret): string => tokenFingerprint(token).toString('hex')

export const markOf = (consentId: string, token: Secret, state: TokenState): TokenMark => ({
  consentId,
  fingerprint: fingerprintOf(token),
  state,
})

/** Records the states; of two marks for one token of a consent the later one counts. */
export const markTokens = async (tx: Statements, given: readonly TokenMark[], at: Date): Promise<void> => {
  if (given.length === 0) return
  await markFirstTokens(tx, given, at)
  // The tokens that are marked here are the last ones: of the others, as many are kept as have a place beside them.
  const marks = distinct(given)
  await write(
    tx,
    Prisma.sql`
    DELETE FROM token_fingerprints AS old
    USING (
      SELECT consent_id, fingerprint, row_number() OVER (
        PARTITION BY consent_id ORDER BY state IN ('current', 'candidate') DESC, at DESC, fingerprint
      ) + marked.count AS place
      FROM token_fingerprints JOIN (
        SELECT id, count(*) FROM ${listOf(marks)} GROUP BY id
      ) AS marked ON marked.id = consent_id
      WHERE (consent_id, encode(fingerprint, 'hex')) NOT IN (SELECT id, fingerprint FROM ${listOf(marks)})
    ) AS ranked
    WHERE old.consent_id = ranked.consent_id AND old.fingerprint = ranked.fingerprint AND ranked.place > ${REMEMBERED}`,
  )
}

/**
 * The same for one consent, as its row was read. One that has not had more tokens than are remembered has none to
 * forget: each token that is stored is counted, as the current one or as a candidate.
 */
export const markTokensOf = async (
  tx: Statements,
  { tokenVersion, candidateVersion }: Pick<ConsentRow, 'tokenVersion' | 'candidateVersion'>,
  given: readonly TokenMark[],
  at: Date,
): Promise<void> =>
  tokenVersion + candidateVersion + given.length <= REMEMBERED
    ? markFirstTokens(tx, given, at)
    : markTokens(tx, given, at)

const distinct = (given: readonly TokenMark[]): readonly TokenMark[] => [
  ...new Map(given.map((mark) => [`${mark.consentId} ${mark.fingerprint}`, mark])).values(),
]

const listOf = (marks: readonly TokenMark[]): Prisma.Sql => Prisma.sql`
  unnest(${arrayText(marks.map(({ consentId }) => consentId))}::uuid[],
    ${arrayText(marks.map(({ fingerprint }) => fingerprint))}::text[],
    ${arrayText(marks.map(({ state }) => state))}::text[]) AS mark (id, fingerprint, state)`

/** At once in a transaction: of two marks for one token the later one counts. A step marks a consent's tokens once. */
const write = async (tx: Statements, statement: Prisma.Sql): Promise<void> => {
  if (tx.seen === undefined) await tx.$executeRaw(statement)
  else tx.pending?.also(statement)
}

/** The same for consents that have just been created: they have no older tokens to forget. */
export const markFirstTokens = async (tx: Statements, given: readonly TokenMark[], at: Date): Promise<void> => {
  if (given.length === 0) return
  await write(
    tx,
    Prisma.sql`
    INSERT INTO token_fingerprints (consent_id, fingerprint, state, at)
    SELECT mark.id, decode(mark.fingerprint, 'hex'), mark.state, ${at} FROM ${listOf(distinct(given))}
    ON CONFLICT (consent_id, fingerprint) DO UPDATE SET state = EXCLUDED.state, at = EXCLUDED.at`,
  )
}

/** Records that the provider has accepted a consent's current token, which is on record except of an older release. */
export const markAccepted = async (
  tx: Statements,
  { consentId, fingerprint, state }: TokenMark,
  at: Date,
): Promise<void> => {
  const statement = Prisma.sql`
    INSERT INTO token_fingerprints AS known (consent_id, fingerprint, state, at)
    VALUES (${consentId}::uuid, ${Buffer.from(fingerprint, 'hex')}, ${state}, ${at})
    ON CONFLICT (consent_id, fingerprint) DO UPDATE SET state = EXCLUDED.state, at = EXCLUDED.at
      WHERE known.state <> EXCLUDED.state`
  if (tx.pending === undefined) await tx.$executeRaw(statement)
  else tx.pending.also(statement)
}
