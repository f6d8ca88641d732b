// All faults that the nemesis can inflict, by name.
import type { Fault } from './faults/fault.ts'
import { ofInfrastructure } from './faults/infrastructure.ts'
import { ofMail } from './faults/mail.ts'
import { ofProcesses } from './faults/processes.ts'
import { ofProvider } from './faults/provider.ts'

export const faults: Readonly<Record<string, Fault>> = { ...ofProcesses, ...ofInfrastructure, ...ofProvider, ...ofMail }
