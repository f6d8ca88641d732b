// The one list of the fields of an import, by a file or by the API: check-row.ts checks each as it says here, and the
// document of the API shows them. The names are fixed, because other people's scripts write them.

export interface FieldTraits {
  /** A row needs at least one of the two dates. `exact`: optional, but a row with a wrong value is refused. */
  readonly need: 'required' | 'date' | 'exact' | 'optional'
  /** `texts`: a list of texts; a file may have one text with spaces between them. */
  readonly form: 'text' | 'instant' | 'texts'
  /** Characters; of a list, entries. */
  readonly most: number
  readonly says: string
}

export const importFields = {
  credentials_id: { need: 'required', form: 'text', most: 200, says: "the provider's id of the connection" },
  refresh_token: { need: 'required', form: 'text', most: 8192, says: 'the refresh token of the connection, a secret' },
  provider_id: { need: 'required', form: 'text', most: 200, says: 'the bank, as the provider calls it' },
  country: { need: 'required', form: 'text', most: 10, says: 'of the bank, two letters' },
  redirect_uri: { need: 'required', form: 'text', most: 2000, says: 'where the bank sends the user back to' },
  user_id: { need: 'required', form: 'text', most: 200, says: 'your id of the user' },
  expires_at: { need: 'date', form: 'instant', most: 40, says: 'when the consent ends; or else consented_at' },
  consented_at: {
    need: 'date',
    form: 'instant',
    most: 40,
    says: 'when the user consented, where expires_at is not known',
  },
  provider_name: { need: 'optional', form: 'text', most: 200, says: "the bank's name for people" },
  email: { need: 'optional', form: 'text', most: 400, says: "the user's e-mail address" },
  phone: { need: 'optional', form: 'text', most: 50, says: "the user's telephone number" },
  name: { need: 'optional', form: 'text', most: 200, says: 'how the user is addressed' },
  locale: { need: 'optional', form: 'text', most: 100, says: 'in which language the user is written to, such as de' },
  time_zone: {
    need: 'optional',
    form: 'text',
    most: 100,
    says: 'where it is night for the user, such as Europe/Berlin',
  },
  scopes: { need: 'optional', form: 'texts', most: 100, says: 'what the consent allows' },
  channels: {
    need: 'exact',
    form: 'texts',
    most: 10,
    says: 'by which the user may be written to, such as email; none at all: the user is never messaged',
  },
  supersedes: {
    need: 'optional',
    form: 'text',
    most: 200,
    says: 'the credentials_id of the connection that this one replaces, whose consent is then closed',
  },
  token_issued_at: {
    need: 'optional',
    form: 'instant',
    most: 40,
    says: 'when the provider issued the refresh token: tells which of two is the newer one',
  },
} as const satisfies Readonly<Record<string, FieldTraits>>

export type ImportField = keyof typeof importFields
/** The names of the fields that are required, that are dates, or that are optional. */
export type FieldThatIs<Need extends FieldTraits['need']> = {
  [Field in ImportField]: (typeof importFields)[Field]['need'] extends Need ? Field : never
}[ImportField]
export const importFieldNames = Object.keys(importFields) as readonly ImportField[]

/** The fields of a user's contact data, which may be changed without an import. */
export const contactFieldNames = [
  'email',
  'phone',
  'name',
  'locale',
  'time_zone',
  'channels',
] as const satisfies readonly ImportField[]
export type ContactField = (typeof contactFieldNames)[number]

/** One thing that is wrong with what the API was sent, without the value. */
export interface FieldProblem {
  /** Undefined for what is wrong with the whole. */
  readonly field: string | undefined
  readonly detail: string
}

export type CheckedBody<Value> =
  | { readonly value: Value; readonly problems?: undefined }
  | { readonly value?: undefined; readonly problems: readonly FieldProblem[] }
