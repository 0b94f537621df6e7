import {
  type ConfigReport,
  DeviceConfig,
  isA,
  type RuntimeBenchmark,
  type RuntimeInfo,
  type RuntimeName
} from '@skerry/contracts'
import type { Logger } from 'pino'
import { wordsOf } from '../agent-error.ts'
import type { ConfigStore, KeptConfig } from './config-store.ts'
import { decideConfig, type LocalConfig, type Refusal, type RunningConfig } from './decide-config.ts'

export type LiveConfigDeps = {
  local: LocalConfig
  store: ConfigStore
  /** The runtimes that start here of those wanted; throws when none does. Reads `threads` as they are by then. */
  probe: (wanted: 'auto' | RuntimeName) => Promise<RuntimeInfo[]>
  benchmarkOf: (runtimes: readonly RuntimeInfo[]) => RuntimeBenchmark[]
  log: Logger
}

/** What a change asks of the parts that run, once the new values count; `runtimes` is null where they are the same. */
export type OnChange = (before: RunningConfig, after: RunningConfig, runtimes: RuntimeInfo[] | null) => void

/**
 * What the agent runs with now: what its command line says, over what the control plane set, over the defaults. One
 * change is carried out after the other, and each `config` frame is answered with what came of it.
 */
export class LiveConfig {
  readonly #deps: LiveConfigDeps
  #kept: KeptConfig
  #config: RunningConfig
  #refused: Refusal[]
  #runtimes: RuntimeInfo[] = []
  #work: Promise<void> = Promise.resolve()

  private constructor(deps: LiveConfigDeps, kept: KeptConfig) {
    const { config, refused } = decideConfig(deps.local, kept.config)
    this.#deps = deps
    this.#kept = kept
    this.#config = config
    this.#refused = refused
    this.#applyLogLevel()
  }

  /** Takes up what was set last; its runtimes are probed by `start`. */
  static async open(deps: LiveConfigDeps): Promise<LiveConfig> {
    return new LiveConfig(deps, await deps.store.load())
  }

  get config(): RunningConfig {
    return this.#config
  }

  /** In order of preference. */
  get runtimes(): RuntimeInfo[] {
    return this.#runtimes
  }

  /** What they were measured to do, in the same order. */
  get benchmark(): RuntimeBenchmark[] {
    return this.#deps.benchmarkOf(this.#runtimes)
  }

  /** Throws `no-runtime` when no runtime that whoever started the agent allows runs here. */
  async start(): Promise<void> {
    this.#runtimes = await this.#probe(this.#deps.local.values.runtime)
  }

  /** Resolves with the answer once all of it is done. A wish that came meanwhile is answered after this one. */
  receive(revision: number, wish: unknown, onChange: OnChange): Promise<ConfigReport> {
    const done = this.#work.then(() => this.#take(revision, wish, onChange))
    this.#work = done.then(
      () => undefined,
      () => undefined
    )
    return done
  }

  /** Decides and probes anew, for a library that arrived. True when that changed anything. */
  reprobe(): Promise<boolean> {
    const done = this.#work.then(async () => {
      const before = JSON.stringify(this.#runtimes)
      const { config, refused } = decideConfig(this.#deps.local, this.#kept.config)
      this.#config = config
      this.#refused = [...refused, ...this.#refused.filter(({ setting }) => !(setting in config))]
      this.#runtimes = await this.#probe(this.#deps.local.values.runtime)
      return JSON.stringify(this.#runtimes) !== before
    })
    this.#work = done.then(
      () => undefined,
      () => undefined
    )
    return done
  }

  /** Between debug and the level that is set, until the next change. */
  toggleDebug(): string {
    const { log } = this.#deps
    const { logLevel } = this.#config
    log.level = log.level === 'debug' ? (logLevel === 'debug' ? 'info' : logLevel) : 'debug'
    return log.level
  }

  report(): ConfigReport {
    const applied = { ...this.#config, runtimes: this.#runtimes, logLevel: this.#deps.log.level }
    return { revision: this.#kept.revision, applied, refused: this.#refused }
  }

  async #take(revision: number, wish: unknown, onChange: OnChange): Promise<ConfigReport> {
    const { local, store, log } = this.#deps
    const { known, unknown } = sortOut(wish)
    const before = this.#config
    const runtimesBefore = JSON.stringify(this.#runtimes)
    const { config, refused } = decideConfig(local, known)
    if (revision !== this.#kept.revision || JSON.stringify(known) !== JSON.stringify(this.#kept.config)) {
      this.#kept = { revision, config: known }
      await store.save(this.#kept)
    }
    this.#config = config
    this.#refused = [...refused, ...unknown]
    // Not on each session: a level that somebody toggled by hand stays while nobody wants another.
    if (before.logLevel !== config.logLevel) this.#applyLogLevel()
    if (before.runtime !== config.runtime) this.#runtimes = await this.#probe(before.runtime)
    onChange(before, this.#config, JSON.stringify(this.#runtimes) === runtimesBefore ? null : this.#runtimes)
    const report = this.report()
    log.info({ ...report }, 'the control plane configured this device')
    return report
  }

  /** What is wanted where it starts; else `otherwise`, and the wish counts as refused. */
  async #probe(otherwise: 'auto' | RuntimeName): Promise<RuntimeInfo[]> {
    const { probe } = this.#deps
    const wanted = this.#config.runtime
    try {
      return await probe(wanted)
    } catch (error) {
      if (wanted === otherwise) throw error
      this.#config = { ...this.#config, runtime: otherwise }
      this.#refused = [...this.#refused, { setting: 'runtime', reason: wordsOf(error).slice(0, 2_000) }]
      // What runs already need not be tried again.
      return this.#runtimes.length > 0 ? this.#runtimes : await probe(otherwise)
    }
  }

  #applyLogLevel(): void {
    this.#deps.log.level = this.#config.logLevel
  }
}

/** Settings of a later control plane, or values that this agent does not know, are refused one by one. */
function sortOut(wish: unknown): { known: DeviceConfig; unknown: Refusal[] } {
  const known: Record<string, unknown> = {}
  const unknown: Refusal[] = []
  for (const [setting, value] of Object.entries(wish ?? {})) {
    if (isA(DeviceConfig, { [setting]: value })) known[setting] = value
    else unknown.push({ setting: setting.slice(0, 64), reason: 'This agent does not know this setting or value.' })
  }
  return { known, unknown }
}
