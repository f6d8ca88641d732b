// What processes have used so far, from /proc: Linux only.
import { readdir, readFile } from 'node:fs/promises'

/** proc(5): times are in clock ticks, of which Linux shows 100 a second on every architecture. */
const MS_PER_TICK = 10

interface Stat {
  readonly parent: number
  /** User and system time of the process itself, in milliseconds. */
  readonly ownMs: number
  /** The same of its children that have ended and were waited for. */
  readonly endedChildrenMs: number
}

/** Undefined when the process has ended. */
const statOf = async (pid: number | string): Promise<Stat | undefined> => {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  // The second field, the program's name, may hold spaces and brackets.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const ticks = (from: number): number => (Number(fields[from]) + Number(fields[from + 1])) * MS_PER_TICK
  return { parent: Number(fields[1]), ownMs: ticks(11), endedChildrenMs: ticks(13) }
}

export const parentOf = async (pid: number): Promise<number> => {
  const stat = await statOf(pid)
  if (stat === undefined) throw new Error(`no process ${pid}`)
  return stat.parent
}

/** CPU time of a process with all its threads, in milliseconds, in steps of ten; 0 when it has ended. */
export const cpuMs = async (pid: number): Promise<number> => (await statOf(pid))?.ownMs ?? 0

/** CPU time of a process, of its children, and of those of its children that have ended, in milliseconds. */
export const cpuMsWithChildren = async (pid: number): Promise<number> => {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const stats = await Promise.all(all.map(statOf))
  const own = await statOf(pid)
  const living = stats.filter((stat) => stat?.parent === pid)
  return (own?.ownMs ?? 0) + (own?.endedChildrenMs ?? 0) + living.reduce((sum, stat) => sum + (stat?.ownMs ?? 0), 0)
}

/** A line of /proc/PID/status that is an amount of memory, in bytes. */
const memoryOf = async (pid: number, name: string): Promise<number> => {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const [, kibibytes] = new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status) ?? []
  return Number(kibibytes) * 1024
}

/** The memory that the process has resident now, in bytes. */
export const residentBytes = async (pid: number): Promise<number> => memoryOf(pid, 'VmRSS')

/** The most memory that the process has had resident at any time, in bytes. */
export const peakResidentBytes = async (pid: number): Promise<number> => memoryOf(pid, 'VmHWM')

/** CPU time that all processors have spent on anything since the machine started, in milliseconds. */
export const busyCpuMs = async (): Promise<number> => {
  const [total = ''] = (await readFile('/proc/stat', 'utf8')).split('\n')
  // user nice system idle iowait irq softirq steal …
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = total.split(/\s+/).slice(1).map(Number)
  return (user + nice + system + irq + softirq) * MS_PER_TICK
}
