import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const command = path.resolve(import.meta.dirname, '../../../apps/cli/dist/main.js')
/** Linux reports process times in hundredths of a second on every architecture that Node runs on. */
const TICK_MS = 10

/** RSS counts a page that two processes share in both, PSS half in each. */
export type Usage = { rssBytes: number; pssBytes: number; cpuMs: number }

/** `skerry agent join` in a process of its own, as on a device. */
export class AgentProcess {
  readonly #process: ChildProcess

  constructor(url: string, args: readonly string[]) {
    this.#process = spawn(process.execPath, [command, 'agent', 'join', url, ...args], { stdio: 'ignore' })
  }

  /** Of the agent, and of the processes that it started. */
  usage(): { agent: Usage; children: Usage } {
    const pid = this.#process.pid ?? -1
    const children = childrenOf(pid).map(usageOf)
    const sum = (key: keyof Usage): number => children.reduce((total, usage) => total + usage[key], 0)
    return {
      agent: usageOf(pid),
      children: { rssBytes: sum('rssBytes'), pssBytes: sum('pssBytes'), cpuMs: sum('cpuMs') }
    }
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await gone
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  )
}

function usageOf(pid: number): Usage {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const kib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1] ?? 0)
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the program's name in brackets, which may hold spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  return { rssBytes: kib('Rss') * 1024, pssBytes: kib('Pss') * 1024, cpuMs: ticks * TICK_MS }
}
