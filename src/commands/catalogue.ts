// The list of all commands. A command's module is loaded only when the command runs: help must not wait for a database
// driver.
import type { Define } from './command.ts'

interface Entry {
  readonly summary: string
  readonly load: () => Promise<{ readonly define: Define }>
}

export type Catalogue = Readonly<Record<string, Entry>>

const change = (name: keyof typeof import('./change.ts').changes) => async () => ({
  define: (await import('./change.ts')).changes[name],
})

export const catalogue: Catalogue = {
  start: { summary: 'run Reconsent: all roles, or some', load: async () => import('./start.ts') },
  migrate: { summary: 'bring the database up to date', load: async () => import('./migrate.ts') },
  import: { summary: 'import consents from a file or standard input', load: async () => import('./import.ts') },
  sweep: { summary: 'look for due consents once, now', load: async () => import('./sweep.ts') },
  list: { summary: 'list consents', load: async () => import('./list.ts') },
  show: { summary: 'show everything about one consent', load: async () => import('./show.ts') },
  explain: { summary: 'explain what is next for a consent, when, and why', load: async () => import('./explain.ts') },
  token: { summary: 'print the refresh token (audited)', load: async () => import('./token.ts') },
  renew: { summary: 'ask a user now, by hand', load: change('renew') },
  pause: { summary: 'stop messages and new links of a consent', load: change('pause') },
  resume: { summary: 'take up a paused consent again', load: change('resume') },
  release: { summary: 'take a consent out of quarantine', load: change('release') },
  close: { summary: 'close a consent for good', load: change('close') },
  unsupersede: {
    summary: 'reopen consents that an import closed by mistake as superseded',
    load: async () => import('./unsupersede.ts'),
  },
  keys: {
    summary: 'list and rotate the encryption keys; create and revoke keys of the API',
    load: async () => import('./keys.ts'),
  },
  webhooks: {
    summary: 'look after the endpoints that are told of what happens',
    load: async () => import('./webhooks.ts'),
  },
  verify: { summary: 'check that what is stored keeps every promise', load: async () => import('./verify.ts') },
  'repair-times': {
    summary: 'correct the instants that release 0.1.0 stored under another time zone',
    load: async () => import('./repair-times.ts'),
  },
  doctor: { summary: 'check everything this installation needs', load: async () => import('./doctor.ts') },
  demo: {
    summary: 'run a whole company on this machine, to see everything work',
    load: async () => import('./demo.ts'),
  },
  simulator: {
    summary: 'run the simulated TrueLayer, bank and inbox alone',
    load: async () => (await import('./simulator.ts')).load(),
  },
}

export const commandNames = Object.keys(catalogue)
