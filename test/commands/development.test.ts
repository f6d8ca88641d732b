// What a command says whose parts an installation for production leaves out.
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { fromDevelopment, NotInstalled } from '../../src/commands/development.ts'
import { describeFailure } from '../../src/commands/failure.ts'

const failureOf = async (load: () => Promise<unknown>, manifest?: URL) => {
  const error: unknown = await fromDevelopment(load, manifest).catch((rejected: unknown) => rejected)
  return { error, failure: describeFailure(error) }
}

test('without the simulator it is named, and nothing is loaded', async () => {
  const absent = pathToFileURL(join(import.meta.dirname, 'absent/package.json'))
  const { failure } = await failureOf(async () => expect.unreachable(), absent)
  expect(failure).toEqual({ exitCode: 2, message: expect.stringMatching(/needs the development packages.*simulator/) })
})

test('without a package of its own it says which, and what brings it', async () => {
  const asNode = Object.assign(new Error("Cannot find package 'smtp-server' imported from /x.ts"), {
    code: 'ERR_MODULE_NOT_FOUND',
  })
  expect((await failureOf(async () => Promise.reject(asNode))).failure).toEqual({
    exitCode: 2,
    message: expect.stringMatching(/npm ci without --omit=dev \(Cannot find package 'smtp-server'/),
  })
})

test('any other failure is its own', async () => {
  const broken = new TypeError('a mistake of ours')
  const { error, failure } = await failureOf(async () => Promise.reject(broken))
  expect(error).toBe(broken)
  expect(error).not.toBeInstanceOf(NotInstalled)
  expect(failure.exitCode).toBe(1)
})
