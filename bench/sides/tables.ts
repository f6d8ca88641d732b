// The tables that every side but Reconsent has: the consents, and one row for each renewal.
import { randomUUID } from 'node:crypto'
import type { SideDatabase } from '../database.ts'
import { BANK, type BenchConsent, inPieces } from '../population.ts'

/** `due_at` is NULL while a renewal is under way. A start link's token is the id of its renewal. */
const TABLES = `
CREATE TABLE consents (
  id uuid PRIMARY KEY,
  credentials_id text NOT NULL UNIQUE,
  email text NOT NULL,
  bank text NOT NULL,
  redirect_uri text NOT NULL,
  refresh_token text NOT NULL,
  expires_at timestamptz(3) NOT NULL,
  due_at timestamptz(3)
);
CREATE INDEX consents_due_at ON consents (due_at) WHERE due_at IS NOT NULL;
CREATE TABLE renewals (
  id uuid PRIMARY KEY,
  consent_id uuid NOT NULL REFERENCES consents,
  status text NOT NULL,
  state_hash bytea NOT NULL UNIQUE,
  verifier text NOT NULL,
  link text NOT NULL,
  made_at timestamptz(3) NOT NULL,
  mailed_at timestamptz(3),
  code text,
  access_token text,
  renewed_at timestamptz(3)
);
CREATE INDEX renewals_consent_id ON renewals (consent_id);`

export const fillTables = async (
  database: SideDatabase,
  consents: readonly BenchConsent[],
  redirectUri: string,
): Promise<void> => {
  await database.query(TABLES)
  for (const piece of inPieces(consents, 500))
    await database.query(
      `INSERT INTO consents (id, credentials_id, email, bank, redirect_uri, refresh_token, expires_at)
       SELECT id, credentials_id, email, $1, $2, refresh_token, expires_at
       FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
         AS t (id, credentials_id, email, refresh_token, expires_at)`,
      [
        BANK.providerName,
        redirectUri,
        piece.map(() => randomUUID()),
        piece.map(({ credentialsId }) => credentialsId),
        piece.map(({ email }) => email),
        piece.map(({ refreshToken }) => refreshToken),
        piece.map(({ expiresAt }) => expiresAt.toISO()),
      ],
    )
}

export const MAKE_DUE = 'UPDATE consents SET due_at = $2 WHERE credentials_id = ANY($1)'
export const COUNT_RENEWED = `SELECT count(*) AS count FROM renewals WHERE status = 'renewed'`
