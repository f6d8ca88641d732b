// A valid environment and a fresh working directory, for the tests of the configuration.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { keyText } from '../crypto/keys.ts'

/** A directory that holds only these files and is removed when the test ends. */
export const aDirectory = (files: Readonly<Record<string, string>> = {}): string => {
  const directory = mkdtempSync(join(tmpdir(), 'reconsent-config-'))
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text)
  return directory
}

/** Everything that `start` needs, with every channel in use and TrueLayer's sandbox as the provider. */
export const soundEnv = {
  DATABASE_URL: 'postgres://app:p%40ss@db.internal:5432/reconsent',
  REDIS_URL: 'redis://redis.internal:6379',
  TRUELAYER_AUTH_URL: 'https://auth.truelayer-sandbox.com',
  TRUELAYER_API_URL: 'https://api.truelayer-sandbox.com',
  TRUELAYER_CLIENT_ID: 'sandbox-example-1',
  TRUELAYER_CLIENT_SECRET: 'the client secret',
  PUBLIC_URL: 'https://consents.example.com',
  ENCRYPTION_KEYS: `k2:${keyText('k2')},k1:${keyText('k1')}`,
  SMTP_URL: 'smtps://user:password@mail.example.com',
  MAIL_FROM: 'Company <consents@example.com>',
} as const
