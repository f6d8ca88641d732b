// How a measurement ends: with 2 when it was asked for what it does not know, with 1 when it failed.
import { UsageError } from './options.ts'
import { SideFailed } from './side-process.ts'

/** `usage` is shown below what was wrong with an option. */
export const runProgram = async (usage: string, measure: () => Promise<void>): Promise<void> => {
  try {
    await measure()
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof SideFailed)) throw error
    console.error(error instanceof UsageError ? `${error.message}\n\n${usage}` : error.message)
    process.exitCode = error instanceof UsageError ? 2 : 1
  }
}
