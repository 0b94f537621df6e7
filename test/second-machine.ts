import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, unlinkSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8', stdio: 'pipe' })

/** An ordinary user that every Linux has. */
const NOBODY = 65_534

/**
 * A network namespace that stands for another machine: it has a loopback of its own and one cable to this machine, at
 * whose ends are `hostAddress` and its own.
 */
export class SecondMachine {
  readonly hostAddress: string
  readonly #name: string
  readonly #running: ChildProcess[] = []
  readonly #logs: string[] = []

  /** Why this system cannot have one, in words for whoever reads the test's report; undefined where it can. */
  static impossible(): string | undefined {
    const name = `skerry-probe-${process.pid}`
    try {
      ip('netns', 'add', name)
      ip('netns', 'del', name)
      return undefined
    } catch (error) {
      const said = (error as { stderr?: string }).stderr || (error as Error).message
      return `a network namespace cannot be made here: ${said.trim()}`
    }
  }

  static make(): SecondMachine {
    return new SecondMachine(process.pid % 200)
  }

  private constructor(subnet: number) {
    this.#name = `skerry-${process.pid}`
    this.hostAddress = `10.231.${subnet}.1`
    const [here, there] = [`sk${process.pid}a`, `sk${process.pid}b`]
    ip('netns', 'add', this.#name)
    ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there, 'netns', this.#name)
    ip('addr', 'add', `${this.hostAddress}/30`, 'dev', here)
    ip('link', 'set', here, 'up')
    for (const args of [
      ['addr', 'add', `10.231.${subnet}.2/30`, 'dev', there],
      ['link', 'set', there, 'up'],
      ['link', 'set', 'lo', 'up']
    ])
      ip('-n', this.#name, ...args)
  }

  /** Runs a line as somebody there would type it, in `cwd`; its output is in `said()`. */
  type(line: string, options: { cwd: string; env?: Record<string, string>; asNobody?: boolean }): void {
    const logFile = path.join(os.tmpdir(), `${this.#name}-${this.#running.length}.log`)
    this.#logs.push(logFile)
    const log = openSync(logFile, 'w')
    const user = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']
    const args = ['netns', 'exec', this.#name, ...(options.asNobody === true ? user : []), 'sh', '-c', `exec ${line}`]
    const env = { PATH: process.env.PATH ?? '', ...options.env }
    // A group of its own, so that npx and what it started end together.
    this.#running.push(spawn('ip', args, { cwd: options.cwd, env, stdio: ['ignore', log, log], detached: true }))
    closeSync(log)
  }

  said(): string {
    return this.#logs.map((file) => readFileSync(file, 'utf8')).join('\n')
  }

  async remove(): Promise<void> {
    for (const child of this.#running) {
      if (child.pid === undefined || child.exitCode !== null) continue
      const exited = once(child, 'exit')
      process.kill(-child.pid, 'SIGKILL')
      await exited
    }
    for (const file of this.#logs) unlinkSync(file)
    ip('netns', 'del', this.#name)
  }
}

/** Whether that user may read what lies there: a checkout in a private home is closed to others. */
export function nobodyMayRead(file: string): boolean {
  try {
    execFileSync('setpriv', [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', 'head', '-c1', file], {
      stdio: 'pipe'
    })
    return true
  } catch {
    return false
  }
}

export const chownToNobody = (directory: string): void => {
  execFileSync('chown', [`${NOBODY}:${NOBODY}`, directory])
}
