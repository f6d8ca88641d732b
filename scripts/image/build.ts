// Repeats the steps of a Dockerfile without Docker, in one folder per stage: COPY copies, RUN runs with the stage's
// folder in place of /. The programs of the base image (Node, npm) must be there already; RUN lines must not name
// absolute paths.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, stat } from 'node:fs/promises'
import { basename, join, posix, relative, resolve } from 'node:path'
import { execForm, type Instruction } from './dockerfile.ts'

export interface Image {
  /** The folder that stands for `/` of the last stage. */
  readonly root: string
  /** A path inside `root`. */
  readonly workdir: string
  readonly env: Readonly<Record<string, string>>
  readonly user: string | undefined
  readonly entrypoint: readonly string[]
  readonly command: readonly string[]
  readonly health: readonly string[]
  readonly stopSignal: string | undefined
  readonly base: string
}

type Stage = { -readonly [Key in keyof Image]: Image[Key] }

export interface BuildOptions {
  readonly instructions: readonly Instruction[]
  readonly context: string
  readonly isIgnored: (path: string) => boolean
  /** An empty folder, in which each stage gets a folder of its own. */
  readonly into: string
  /** The environment for RUN. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly say: (line: string) => void
}

const run = async (command: string, cwd: string, env: Readonly<Record<string, string | undefined>>): Promise<void> => {
  const child = spawn('/bin/sh', ['-ec', command], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`RUN ${command} ended with ${code ?? 'a signal'}:\n${output}`)
}

const copy = async (
  stage: Stage,
  { flags, text }: Instruction,
  stages: ReadonlyMap<string, Stage>,
  options: BuildOptions,
): Promise<void> => {
  const words = text.split(/\s+/)
  const to = words.pop() ?? ''
  const target = join(stage.root, posix.resolve(stage.workdir, to))
  const from = flags['from'] === undefined ? undefined : stages.get(flags['from'])
  if (flags['from'] !== undefined && from === undefined)
    throw new Error(`COPY --from=${flags['from']}: there is no such stage`)
  const source = from?.root ?? options.context
  // Our .dockerignore lets in nothing below an ignored folder, so that a folder may be judged before its files.
  const filter = (path: string): boolean => {
    const inContext = relative(options.context, path)
    return from !== undefined || inContext === '' || !options.isIgnored(inContext)
  }
  for (const word of words) {
    const path = join(source, word)
    const isFolder = (await stat(path)).isDirectory()
    if (!isFolder && !filter(path)) throw new Error(`COPY ${word}: .dockerignore leaves it out`)
    await cp(path, isFolder || !to.endsWith('/') ? target : join(target, basename(word)), {
      recursive: true,
      filter,
      verbatimSymlinks: true,
    })
  }
}

/** Returns the last stage. Rejects at the first step that fails, with its output. */
export const buildImage = async (options: BuildOptions): Promise<Image> => {
  const { instructions, into, say } = options
  const stages = new Map<string, Stage>()
  let stage: Stage | undefined
  for (const instruction of instructions) {
    const { name, text, flags } = instruction
    if (name === 'FROM') {
      const [base = '', , alias = `stage-${stages.size}`] = text.split(/\s+/)
      const root = join(resolve(into), alias)
      await mkdir(root, { recursive: true })
      stage = {
        root,
        workdir: '/',
        env: {},
        user: undefined,
        entrypoint: [],
        command: [],
        health: [],
        stopSignal: undefined,
        base,
      }
      stages.set(alias, stage)
      continue
    }
    if (stage === undefined) throw new Error(`${name} before FROM`)
    const started = performance.now()
    switch (name) {
      case 'WORKDIR':
        stage.workdir = posix.resolve(stage.workdir, text)
        await mkdir(join(stage.root, stage.workdir), { recursive: true })
        break
      case 'COPY':
        await copy(stage, instruction, stages, options)
        break
      case 'RUN':
        await run(text, join(stage.root, stage.workdir), { ...options.env, ...stage.env })
        say(`RUN ${text} (${((performance.now() - started) / 1000).toFixed(1)} s)`)
        break
      case 'ENV': {
        const [variable = '', ...value] = text.split('=')
        stage.env = { ...stage.env, [variable]: value.join('=') }
        break
      }
      case 'USER':
        stage.user = text
        break
      case 'ENTRYPOINT':
        stage.entrypoint = execForm(text)
        break
      case 'CMD':
        stage.command = execForm(text)
        break
      case 'HEALTHCHECK':
        stage.health = execForm(text.replace(/^CMD\s+/, ''))
        break
      case 'STOPSIGNAL':
        stage.stopSignal = text
        break
      case 'LABEL':
      case 'EXPOSE':
        break
      default:
        throw new Error(
          `${name}${Object.keys(flags).length > 0 ? ' with flags' : ''} is not known here: teach ` +
            'scripts/image/build.ts',
        )
    }
  }
  if (stage === undefined) throw new Error('no FROM')
  return stage
}
