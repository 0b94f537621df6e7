import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { type AgentOptions, joinAndRun, type RunningAgent } from '../src/index.ts'
import { ControlPlane } from './control-plane.ts'

/** The environment that set-up made; tests of conversions need it. */
export const python =
  process.env.SKERRY_TEST_PYTHON ?? fileURLToPath(new URL('../../../.tools/python/bin/python', import.meta.url))

/** undefined where set-up has not run: the tests then go without LiteRT. */
export const liteRtLibrary = existsSync(python) ? libraryOf(python) : undefined

function libraryOf(executable: string): string | undefined {
  const script = 'import sysconfig; print(sysconfig.get_path("platlib") + "/ai_edge_litert/libLiteRt.so")'
  const path = execFileSync(executable, ['-c', script], { encoding: 'utf8' }).trim()
  return existsSync(path) ? path : undefined
}

export type Setting = { controlPlane: ControlPlane; agent: RunningAgent; dataDir: string; options: AgentOptions }

/** A control plane and an agent that has joined it; `close` ends both and removes the agent's data. */
export class Fleet {
  readonly #agents: RunningAgent[] = []
  readonly #controlPlanes: ControlPlane[] = []
  readonly #directories: string[] = []

  async controlPlane(): Promise<ControlPlane> {
    const controlPlane = await ControlPlane.start()
    this.#controlPlanes.push(controlPlane)
    return controlPlane
  }

  async dataDir(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'skerry-agent-'))
    this.#directories.push(directory)
    return directory
  }

  async run(options: AgentOptions): Promise<RunningAgent> {
    const agent = await joinAndRun({
      logger: pino({ level: process.env.AGENT_TEST_LOG ?? 'silent' }),
      // No jitter: a reconnect comes at once.
      random: () => 0,
      ...options
    })
    this.#agents.push(agent)
    return agent
  }

  async join(options: Partial<AgentOptions> = {}): Promise<Setting> {
    const controlPlane = await this.controlPlane()
    const dataDir = await this.dataDir()
    const all = { url: controlPlane.url, token: 'join-me', dataDir, runtime: 'tfjs-tflite' as const, ...options }
    const agent = await this.run(all)
    await controlPlane.session(1)
    return { controlPlane, agent, dataDir, options: all }
  }

  async close(): Promise<void> {
    await Promise.all(this.#agents.splice(0).map((agent) => agent.stop()))
    await Promise.all(this.#controlPlanes.splice(0).map((controlPlane) => controlPlane.stop()))
    for (const directory of this.#directories.splice(0)) await rm(directory, { recursive: true, force: true })
  }
}
