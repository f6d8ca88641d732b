// Output of the commands to a reader that is slower than the command.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const module = fileURLToPath(new URL('../../src/commands/terminal.ts', import.meta.url))

test('a long output waits for its reader, again and again, and leaves no listeners behind', async () => {
  const script = `
    const { processTerminal } = await import(${JSON.stringify(module)})
    const terminal = processTerminal()
    for (let time = 0; time < 40; time += 1) await terminal.write('x'.repeat(300_000))
    process.stderr.write(String(process.stdout.listenerCount('close') + process.stdout.listenerCount('drain')))`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script])
  let [length, stderr] = [0, '']
  child.stdout.on('data', (chunk: Buffer) => (length += chunk.length))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number]
  expect({ code, length, stderr: Number(stderr) }).toEqual({ code: 0, length: 12_000_000, stderr: expect.any(Number) })
  expect(Number(stderr)).toBeLessThan(5)
})
