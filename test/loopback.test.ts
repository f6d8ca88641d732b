// Which hosts are this machine.
import { expect, test } from 'vitest'
import { isLoopback } from '../src/loopback.ts'

test.each(['localhost', 'bank.localhost', '127.0.0.1', '127.255.0.9', '::1', '[::1]'])('%s is this machine', (host) => {
  expect(isLoopback(host)).toBe(true)
})

test.each(['localhost.example.com', 'notlocalhost', '127.0.0.1.example.com', '127.1', '10.0.0.1', '::2', '[::2]', ''])(
  '%s is not',
  (host) => {
    expect(isLoopback(host)).toBe(false)
  },
)
