// `simulator`: runs the command of simulator/ under Reconsent's name. Its options are defined there.
import { type Command, UsageError } from './command.ts'
import { fromDevelopment } from './development.ts'

export const load = async (): Promise<{ readonly command: Command }> => {
  const { usage, about, options, examples, run } = await fromDevelopment(
    async () => import('../../simulator/src/command.ts'),
  )
  const { BadInput } = await import('../../simulator/src/bad-input.ts')
  const command: Command = {
    usage,
    about,
    arguments: [],
    options,
    examples: examples.map((example) => `reconsent simulator ${example}`),
    run: async (call) => {
      try {
        return await run(call, call.terminal)
      } catch (error) {
        throw error instanceof BadInput ? new UsageError(error.message) : error
      }
    },
  }
  return { command }
}
