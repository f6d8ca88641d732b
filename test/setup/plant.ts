// Puts a record into a state that the program would not let it reach from where it is: for tests of what follows.
import type { PrismaClient } from '../../src/generated/prisma/client.ts'
import type { Database } from '../../src/store/database.ts'

/** The same client without the store's guard on the column `status`. */
export const planting = ({ prisma }: Pick<Database, 'prisma'>): PrismaClient => prisma as unknown as PrismaClient
