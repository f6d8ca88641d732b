// The fields of an import, every name once. Fixed: other people's scripts write them.

export const importFields = {
  credentials_id: 'required',
  refresh_token: 'required',
  provider_id: 'required',
  country: 'required',
  redirect_uri: 'required',
  user_id: 'required',
  /** One of these two. */
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
} as const

export type ImportField = keyof typeof importFields
export const importFieldNames = Object.keys(importFields) as readonly ImportField[]
