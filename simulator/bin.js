#!/usr/bin/env node
// `truelayer-simulator`. In a checkout the sources run as they are; Node strips no types under node_modules, so a packed
// one brings JavaScript.
import { existsSync } from 'node:fs'

const source = new URL('src/cli.ts', import.meta.url)
await import(existsSync(source) ? source.href : new URL('dist/cli.js', import.meta.url).href)
