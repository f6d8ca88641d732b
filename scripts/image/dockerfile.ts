// Reads a Dockerfile and a .dockerignore, as far as the project's own files need it. Runs nothing.

export interface Instruction {
  readonly name: string
  /** The leading `--name=value`. */
  readonly flags: Readonly<Record<string, string>>
  /** The rest of the line, with the variables of ARG filled in. */
  readonly text: string
}

const FLAG = /^--([a-z-]+)(?:=(\S+))?\s+/

const readFlags = (text: string): { flags: Record<string, string>; rest: string } => {
  const flags: Record<string, string> = {}
  let rest = text
  for (let found = FLAG.exec(rest); found !== null; found = FLAG.exec(rest)) {
    flags[found[1] ?? ''] = found[2] ?? ''
    rest = rest.slice(found[0].length)
  }
  return { flags, rest }
}

/** The instructions in order, without ARG: the default of each ARG replaces its variable. */
export const readDockerfile = (source: string): Instruction[] => {
  const lines = source.split('\n').filter((line) => !line.trimStart().startsWith('#'))
  const logical = lines
    .join('\n')
    .replace(/\s*\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '')
  const variables = new Map<string, string>()
  const fill = (text: string): string =>
    text.replace(/\$\{(\w+)\}/g, (whole, name: string) => variables.get(name) ?? whole)
  const instructions: Instruction[] = []
  for (const line of logical) {
    const [, name = '', text = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? []
    if (name === '') throw new Error(`Dockerfile: cannot read the line ${line}`)
    if (name === 'ARG') {
      const [variable = '', value = ''] = text.split('=')
      variables.set(variable, value)
      continue
    }
    // RUN is not filled in: a shell has variables of its own.
    const { flags, rest } = readFlags(name === 'RUN' ? text : fill(text))
    instructions.push({ name, flags, text: rest })
  }
  return instructions
}

/** The exec form: `["node", "src/cli.ts"]`. */
export const execForm = (text: string): string[] => {
  const parsed: unknown = JSON.parse(text)
  if (!Array.isArray(parsed) || !parsed.every((word) => typeof word === 'string'))
    throw new Error(`Dockerfile: not the exec form: ${text}`)
  return parsed
}

const patternOf = (glob: string): RegExp => {
  const escaped = glob
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*\*|\*|\?/g, (wild) => (wild === '**' ? '.*' : wild === '*' ? '[^/]*' : '[^/]'))
  return new RegExp(`^${escaped}(?:/|$)`)
}

/** Whether a path of the context is left out: the last line decides that matches the path or a folder above it. */
export const readDockerignore = (source: string): ((path: string) => boolean) => {
  const rules = source
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ ignored: !line.startsWith('!'), pattern: patternOf(line.replace(/^!/, '').replace(/\/$/, '')) }))
  return (path) => rules.findLast(({ pattern }) => pattern.test(path))?.ignored ?? false
}
