// An answer as data, together with its ledger entry, so that a fault can replace the answer and keep the entry.
import type { Html } from './html.ts'
import type { EntryDraft } from './ledger.ts'

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
  readonly entry: Omit<EntryDraft, 'fault'>
}

export const JSON_TYPE = 'application/json; charset=utf-8'
export const HTML_TYPE = 'text/html; charset=utf-8'

type Noted = Answer['entry']

export const jsonAnswer = (status: number, body: unknown, entry: Noted): Answer => ({
  status,
  contentType: JSON_TYPE,
  body: JSON.stringify(body),
  headers: {},
  entry,
})

/** The error body of the auth host and the data host: `{error, error_description, error_details: {reason}}`. */
export const refusal = (
  status: number,
  error: string,
  reason: string,
  entry: Omit<Noted, 'outcome' | 'detail'>,
): Answer =>
  jsonAnswer(
    status,
    { error, error_description: `Simulator: ${reason.replaceAll('_', ' ')}`, error_details: { reason } },
    { ...entry, outcome: error, detail: reason },
  )

export const pageAnswer = (status: number, page: Html, entry: Noted): Answer => ({
  status,
  contentType: HTML_TYPE,
  body: page.html,
  headers: {},
  entry,
})

export const redirectAnswer = (location: string, entry: Noted): Answer => ({
  status: 303,
  contentType: HTML_TYPE,
  body: '',
  headers: { location },
  entry,
})
