// `simulator`: runs the command of simulator/ under Reconsent's name. Its options are declared there.
import { Option } from '@commander-js/extra-typings'
import { type Define, each, examples, text } from './command.ts'
import { fromDevelopment } from './development.ts'
import { UsageError } from './usage-error.ts'

export const load = async (): Promise<{ readonly define: Define }> => {
  const simulator = await fromDevelopment(async () => import('../../simulator/src/command.ts'))
  const { BadInput } = await import('../../simulator/src/bad-input.ts')
  return {
    define: (command, { terminal, exits }) => {
      command
        .description(simulator.about)
        .addHelpText('after', examples(...simulator.examples.map((line) => `reconsent simulator ${line}`)))
      for (const [name, { type, value = 'VALUE', multiple, help }] of Object.entries(simulator.options)) {
        const option = new Option(type === 'string' ? `--${name} <${value}>` : `--${name}`, help)
        if (multiple) option.argParser(each(String))
        else if (type === 'string') option.argParser(text)
        command.addOption(option)
      }
      const given = (name: string): unknown => command.getOptionValue(new Option(`--${name}`).attributeName())
      const texts = (name: string): readonly string[] => [given(name) ?? []].flat().map(String)
      command.action(
        exits(async () => {
          try {
            return await simulator.run(
              { texts, text: (name) => texts(name)[0], flag: (name) => given(name) === true },
              terminal,
            )
          } catch (error) {
            throw error instanceof BadInput ? new UsageError(error.message) : error
          }
        }),
      )
    },
  }
}
