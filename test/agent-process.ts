import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'

const command = path.resolve(import.meta.dirname, '../apps/cli/dist/main.js')

/** `skerry agent join` in a process of its own, as on a device. */
export class AgentProcess {
  readonly dataDir: string
  readonly logFile: string
  #child: ChildProcess | null = null

  private constructor(dataDir: string) {
    this.dataDir = dataDir
    this.logFile = path.join(dataDir, 'agent.log')
  }

  static async prepare(): Promise<AgentProcess> {
    return new AgentProcess(await mkdtemp(path.join(os.tmpdir(), 'skerry-agent-')))
  }

  /** `env` stands over this process's environment. */
  start(url: string, args: string[], env: Record<string, string> = {}): void {
    const log = openSync(this.logFile, 'a')
    const all = [command, 'agent', 'join', url, '--data-dir', path.join(this.dataDir, 'data'), ...args]
    this.#child = spawn(process.execPath, all, { env: { ...process.env, ...env }, stdio: ['ignore', log, log, 'ipc'] })
    closeSync(log)
  }

  get pid(): number {
    return this.#child?.pid ?? -1
  }

  /** Processes that the agent started, such as its runtimes'. */
  childPids(): number[] {
    return readdirSync(`/proc/${this.pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${this.pid}/task/${thread}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number)
    )
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const exited = once(child, 'exit')
    child.kill(signal)
    await exited
  }
}
