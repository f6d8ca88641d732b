// The ids of rows are UUIDs in lower case.

/** Comes before every id: where a page in the order of ids begins. */
export const FIRST_ID = '00000000-0000-0000-0000-000000000000'

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** PostgreSQL refuses the whole statement if a text that should be an id is not one. */
export const isId = (text: string): boolean => UUID.test(text)
