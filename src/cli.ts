#!/usr/bin/env node
// The command line. Checks only that this Node can run the rest, then loads the rest.
export {}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
// 24.5 brought the agent's proxyEnv, without which HTTPS_PROXY would be ignored silently.
if (major < 24 || (major === 24 && minor < 5)) {
  process.stderr.write(
    `reconsent needs Node 24.5 or later, this is ${process.versions.node}. In a checkout, npx reconsent uses ` +
      `the one that npm ci installed.\n`,
  )
  process.exit(2)
}

// Compiling is half of what a short command takes. The folder is the installation's own: in a temporary folder, others
// could put their code in the place of ours. Where it cannot be written, nothing is kept.
const { enableCompileCache } = await import('node:module')
enableCompileCache(`${import.meta.dirname}/../node_modules/.cache/reconsent`)

const { processTerminal } = await import('./commands/terminal.ts')
const { runCommand } = await import('./commands/run.ts')
// Not process.exit(): output may still be on its way into a pipe.
process.exitCode = await runCommand(process.argv.slice(2), processTerminal())
