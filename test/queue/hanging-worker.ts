// A worker process for the contract suite: it takes a job, reports that on stdout, and never ends the job, until it is
// killed.
import { makeLog } from '../../src/log.ts'
import { openBackend } from '../../src/queue/backend.ts'
import { startWorkers } from '../../src/queue/runner.ts'
import { Secret } from '../../src/secret.ts'

const { kind, url, prefix, plans, timings } = JSON.parse(process.env['HANGING_WORKER'] ?? '{}')
process.stdin.resume().once('end', () => process.exit())
const backend = await openBackend({ kind, url: new Secret(url) }, { prefix, plans, log: makeLog({ level: 'silent' }) })
startWorkers({
  backend,
  timings,
  handlers: {
    reauth: async () => {
      process.stdout.write('taken\n')
      return new Promise(() => undefined)
    },
  },
})
