import { type ChildProcess, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { AgentPoint } from '../../src/agent-point.ts'
import type { AgentOptions } from '../../src/index.ts'

const script = fileURLToPath(new URL('agent-until.mjs', import.meta.url))
const REACH_MS = 60_000

/** The built agent in a process of its own, to be killed where it stands. */
export class MortalAgent {
  readonly #process: ChildProcess
  readonly #gone: Promise<unknown>
  readonly #last: AgentPoint | undefined
  readonly #points = new Set<string>()
  readonly #news = new EventEmitter()
  #stderr = ''

  constructor(options: AgentOptions, last?: AgentPoint) {
    const args = [script, JSON.stringify(options), ...(last === undefined ? [] : [last])]
    this.#process = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] })
    this.#last = last
    this.#gone = once(this.#process, 'close')
    createInterface({ input: this.#process.stdio[3] as Readable }).on('line', (point) => {
      this.#points.add(point)
      this.#news.emit('point')
    })
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text
    })
  }

  /** Resolves once the agent stands at its point and does nothing more. */
  async reached(): Promise<void> {
    const signal = AbortSignal.timeout(REACH_MS)
    const ended = this.#gone.then(() => {
      throw new Error(`the agent ended before its point: ${this.#stderr}`)
    })
    while (this.#last === undefined || !this.#points.has(this.#last)) {
      await Promise.race([once(this.#news, 'point', { signal }), ended])
    }
  }

  /** The points that it has reached so far. */
  points(): string[] {
    return [...this.#points]
  }

  /** What it says when it ends by itself. */
  async lastWords(): Promise<string> {
    await this.#gone
    return this.#stderr.trim()
  }

  /** As the kernel does when memory is short: nothing of the agent runs any more. Its runtimes end by themselves. */
  async kill(): Promise<void> {
    const { pid } = this.#process
    if (pid === undefined || this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const runtimes = childrenOf(pid)
    this.#process.kill('SIGKILL')
    await this.#gone
    const deadline = Date.now() + REACH_MS
    // They are no children of this process, so nobody tells of their end.
    while (runtimes.some(isAlive)) {
      if (Date.now() > deadline) throw new Error('a runtime outlived its agent')
      await wait(5)
    }
  }
}

function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
    readFileSync(`/proc/${pid}/task/${thread}/children`, 'utf8').split(' ').filter(Boolean).map(Number)
  )
}

function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z'
  } catch {
    return false
  }
}
