// What a company may say about a consent, as schemas for the document: made from the one list of the fields of an
// import. The values are checked by the readers of the import itself (import/check-body.ts).
import { z } from 'zod'
import {
  contactFieldNames,
  type FieldTraits,
  type ImportField,
  importFieldNames,
  importFields,
} from '../../import/fields.ts'

const fieldSchema = ({ form, most, says }: FieldTraits): z.ZodType => {
  switch (form) {
    case 'text':
      return z.string().min(1).max(most).describe(says)
    case 'instant':
      return z.string().max(most).describe(`${says}; such as 2026-12-31T09:00:00Z with its offset, or a day (UTC)`)
    case 'texts':
      return z.array(z.string()).max(most).describe(says)
  }
}

/** Null and a field that is not there are the same. */
const shapeWith = (isRequired: (field: ImportField) => boolean): Record<string, z.ZodType> =>
  Object.fromEntries(
    importFieldNames.map((field) => {
      const schema = fieldSchema(importFields[field])
      return [field, isRequired(field) ? schema : schema.nullish()]
    }),
  )

const DATES = 'It needs expires_at or consented_at.'

export const consentBody = z
  .strictObject(shapeWith((field) => importFields[field].need === 'required' && field !== 'credentials_id'))
  .meta({ id: 'ConsentBody', description: `what you know about a connection and its user. ${DATES}` })

export const consentRow = z
  .strictObject(shapeWith((field) => importFields[field].need === 'required'))
  .meta({ id: 'ConsentRow', description: `the same with the connection's own id. ${DATES}` })

export const contactBody = z
  .strictObject(
    Object.fromEntries(contactFieldNames.map((field) => [field, fieldSchema(importFields[field]).nullish()])),
  )
  .meta({ id: 'ContactChanges', description: 'what is not there stays as it is, and null clears it' })
