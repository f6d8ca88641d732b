// The one list of the fields of an import: check-row.ts checks each as it says here. The names are fixed, because other
// people's scripts write them.

export const importFields = {
  credentials_id: 'required',
  refresh_token: 'required',
  provider_id: 'required',
  country: 'required',
  redirect_uri: 'required',
  user_id: 'required',
  /** A row needs at least one of these two dates. */
  expires_at: 'date',
  consented_at: 'date',
  provider_name: 'optional',
  email: 'optional',
  phone: 'optional',
  name: 'optional',
  locale: 'optional',
  time_zone: 'optional',
  scopes: 'optional',
  supersedes: 'optional',
  token_issued_at: 'optional',
} as const

export type ImportField = keyof typeof importFields
/** The names of the fields that are required, that are dates, or that are optional. */
export type FieldThatIs<Need extends (typeof importFields)[ImportField]> = {
  [Field in ImportField]: (typeof importFields)[Field] extends Need ? Field : never
}[ImportField]
export const importFieldNames = Object.keys(importFields) as readonly ImportField[]
