// Chromium for the browser tests: from CHROMIUM, else from the PATH, else from apt.
import type { TestProject } from 'vitest/node'
import { findProgram } from './program.ts'

declare module 'vitest' {
  interface ProvidedContext {
    chromium: string
  }
}

const names = ['chromium', 'chromium-browser', 'google-chrome']

export default async (project: TestProject): Promise<void> => {
  project.provide('chromium', await findProgram({ names, debianPackage: 'chromium', variable: 'CHROMIUM' }))
}
