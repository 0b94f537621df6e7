import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { CliError } from '../cli-error.ts'

const STOP_GRACE_MS = 20_000

/** A Node program of ours in a process of its own: its output goes to a log, and it ends when this process does. */
export class NodeProcess {
  readonly name: string
  readonly logFile: string
  readonly #child: ChildProcess
  #stopping = false

  constructor(options: { name: string; script: string; args: string[]; env: NodeJS.ProcessEnv; logDir: string }) {
    this.name = options.name
    mkdirSync(options.logDir, { recursive: true })
    this.logFile = path.join(options.logDir, `${options.name}.log`)
    const log = openSync(this.logFile, 'a')
    // In a group of its own, so that Ctrl-C reaches it only through us; over IPC it learns that we were killed.
    this.#child = spawn(process.execPath, [options.script, ...options.args], {
      env: options.env,
      stdio: ['ignore', log, log, 'ipc'],
      detached: true
    })
    closeSync(log)
    this.#child.on('error', () => undefined)
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  /** Resolves when the process ends without having been asked to. */
  async failed(): Promise<CliError> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
    if (this.#stopping) await new Promise(() => undefined)
    const how = this.#child.signalCode ?? `exit code ${this.#child.exitCode}`
    return new CliError(`${this.name} ended (${how}); its log ${this.logFile} ends with:\n${this.lastLines(6)}`)
  }

  lastLines(count: number): string {
    return readFileSync(this.logFile, 'utf8').trimEnd().split('\n').slice(-count).join('\n')
  }

  async stop(): Promise<void> {
    this.#stopping = true
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), STOP_GRACE_MS)
    await exited
    clearTimeout(timer)
  }
}
