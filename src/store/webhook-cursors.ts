// What an endpoint's place in the feed is worth: a number alone says nothing once places were given out anew.
import { Prisma } from '../generated/prisma/client.ts'

/** The chain of the feed at a place: null where the feed has no such place, as at its beginning. */
export const chainAt = (position: Prisma.Sql): Prisma.Sql =>
  Prisma.sql`(SELECT chain FROM event_positions WHERE position = ${position})`
