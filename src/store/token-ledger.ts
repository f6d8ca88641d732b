// The refresh tokens that a batch of an import is about, in memory: which consent has or had each of them. A later row
// sees what an earlier row of the batch has brought.
import type { Vault } from '../crypto/vault.ts'
import type { TokenQuestion } from '../domain/import-token.ts'
import type { Known } from './import-reads.ts'
import { candidateOf, currentOf } from './refresh-token.ts'
import { fingerprintOf, type KnownToken, type TokenMark } from './token-fingerprints.ts'

export interface TokenLedger {
  standingOf(consentId: string, fingerprint: string): TokenQuestion['standing']
  /** The consent that has or had this token, other than the given one. */
  ownerOf(fingerprint: string, consentId: string | undefined): TokenQuestion['owner']
  /** Whether the consent's current token decrypts. */
  isReadable(consentId: string): boolean
  record(mark: TokenMark, credentialsId: string): void
  /** The fingerprint of the consent's candidate, or of its current token; undefined if there is none that decrypts. */
  find(consentId: string, state: 'current' | 'candidate'): string | undefined
  /** What is to be written. */
  marks(): readonly TokenMark[]
}

/**
 * Begins with the tokens on record and with those of the consents themselves. A consent of a release that knew no
 * fingerprints gets those of its tokens now: SQL cannot decrypt, so no migration could have made them.
 */
export const openLedger = (vault: Vault, { ours, tokens }: Known): TokenLedger => {
  const stored = ours.flatMap((row) =>
    (['current', 'candidate'] as const).flatMap((state) => {
      const token = state === 'current' ? currentOf(vault, row) : candidateOf(vault, row)
      if (token === undefined) return []
      return { consentId: row.id, credentialsId: row.credentialsId, fingerprint: fingerprintOf(token), state }
    }),
  )
  const byFingerprint = new Map<string, KnownToken[]>()
  const marks: TokenMark[] = []
  const put = (entry: KnownToken): void => {
    const others = (byFingerprint.get(entry.fingerprint) ?? []).filter((one) => one.consentId !== entry.consentId)
    byFingerprint.set(entry.fingerprint, [...others, entry])
  }
  const find = (consentId: string, fingerprint: string): KnownToken | undefined =>
    byFingerprint.get(fingerprint)?.find((entry) => entry.consentId === consentId)
  for (const entry of tokens) put(entry)
  for (const entry of stored) {
    // A release that knows no fingerprints may have replaced the token since it was marked.
    if (find(entry.consentId, entry.fingerprint)?.state === entry.state) continue
    put(entry)
    marks.push(entry)
  }
  const held = new Map(stored.map((entry) => [`${entry.state} ${entry.consentId}`, entry.fingerprint]))

  return {
    // What is there is what decrypts. A mark alone may be that of a token whose key is lost, or that a release without
    // marks has replaced: such a token is new again.
    standingOf: (consentId, fingerprint) => {
      if (held.get(`current ${consentId}`) === fingerprint) return 'current'
      if (held.get(`candidate ${consentId}`) === fingerprint) return 'candidate'
      const state = find(consentId, fingerprint)?.state
      return state === 'rejected' || state === 'superseded' ? 'barred' : 'new'
    },
    ownerOf: (fingerprint, consentId) => {
      const owner = byFingerprint.get(fingerprint)?.find((entry) => entry.consentId !== consentId)
      return owner && { id: owner.consentId, credentialsId: owner.credentialsId }
    },
    isReadable: (consentId) => held.has(`current ${consentId}`),
    find: (consentId, state) => held.get(`${state} ${consentId}`),
    record: (mark, credentialsId) => {
      put({ ...mark, credentialsId })
      if (mark.state === 'current' || mark.state === 'candidate')
        held.set(`${mark.state} ${mark.consentId}`, mark.fingerprint)
      marks.push(mark)
    },
    marks: () => marks,
  }
}
