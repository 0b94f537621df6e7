import type { NameMap, RuntimeName } from '@skerry/contracts'
import { type LoadedModel, ModelSession, RuntimeError, type RuntimeExit, type TfliteRuntime } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { AgentError, wordsOf } from './agent-error.ts'

export type ModelSpec = { id: string; artifact: string; runtime: RuntimeName; path: string; names: NameMap }
export type HostedModel = {
  session: ModelSession
  loaded: LoadedModel
  /** Its first inference in this process, once there was one. */
  firstMs?: number
}
export type SessionInputs = Parameters<ModelSession['run']>[0]
export type SessionResult = Awaited<ReturnType<ModelSession['run']>>

/** Thrown for a call that was in a process that is gone. */
export class RuntimeLostError extends Error {
  override readonly name = 'RuntimeLostError'
  readonly code: 'runtime-crashed' | 'runtime-timeout'
  /** False for a call that only waited behind the one that took the process down. */
  readonly culprit: boolean

  constructor(code: RuntimeLostError['code'], message: string, culprit: boolean) {
    super(message)
    this.code = code
    this.culprit = culprit
  }
}

export type RuntimeHostDeps = {
  start: (name: RuntimeName) => Promise<TfliteRuntime>
  threads: number
  /** Processes of one runtime at most: inferences at once that do not wait for each other. */
  processes: number
  invokeTimeoutMs: number
  log: Logger
  /** A process is gone that nobody ended, and with it these models: no other process holds them. */
  onLost: (runtime: RuntimeName, models: ReadonlySet<string>) => void
}

type Call = { artifact: string }
type Child = {
  name: RuntimeName
  process: TfliteRuntime
  models: Map<string, Promise<HostedModel>>
  loaded: Map<string, HostedModel>
  /** Calls in the process, oldest first: it runs them one by one, so the first is the one that runs. */
  calls: Set<Call>
  culprit: Call | null
  gone: boolean
  /** Ends with its last call, and gets no more. */
  retired: boolean
  idle: NodeJS.Timeout | null
}
type Pool = { live: Set<Child>; starting: Promise<Child> | null }

/** Crashes in a row after which an artifact is not loaded again. */
const CRASHES_IN_A_ROW = 2
const LOAD_TIMEOUT_MS = 120_000
const ABORT_GRACE_MS = 1_000
const CLOSE_GRACE_MS = 3_000
/** How long a process that is not needed stays: work that comes in bursts should not start it each time. */
const SPARE_MS = 60_000

/**
 * The processes of each runtime. The first starts when it is needed, and again after a crash with the models it held as
 * they are needed; further ones while inferences wait for each other, and they end when that is over. It knows which
 * call took a process down, and refuses an artifact that did it twice in a row.
 */
export class RuntimeHost {
  readonly #deps: RuntimeHostDeps
  readonly #specs = new Map<string, ModelSpec>()
  readonly #pools = new Map<RuntimeName, Pool>()
  readonly #crashes = new Map<string, number>()
  readonly #retired = new Set<Child>()
  #threads: number
  #processes: number
  #unwanted: ReadonlySet<RuntimeName> = new Set()
  #closed = false

  constructor(deps: RuntimeHostDeps) {
    this.#deps = deps
    this.#threads = deps.threads
    this.#processes = deps.processes
  }

  /** Ids of the models that are in a living process. */
  loadedIds(): Set<string> {
    return new Set(this.#live().flatMap(({ loaded }) => [...loaded.keys()]))
  }

  /** The calls in hand end in the processes that have them; what comes next loads its models in new ones. */
  setThreads(threads: number): void {
    this.#threads = threads
    for (const child of this.#live()) this.#retire(child)
  }

  /** Those beyond fewer end once they have nothing to do, as spare ones do. */
  setProcesses(processes: number): void {
    this.#processes = processes
  }

  /** A process of any other runtime ends once it holds no model. */
  keepOnly(runtimes: readonly RuntimeName[]): void {
    this.#unwanted = new Set([...this.#pools.keys()].filter((name) => !runtimes.includes(name)))
    for (const child of this.#live()) this.#retireIfUnwanted(child)
  }

  pids(): number[] {
    return [...this.#live(), ...this.#retired].map((child) => child.process.pid)
  }

  /** The most memory that the runtime's process held since it began. */
  async peakRssBytes(runtime: RuntimeName): Promise<number> {
    return (await (await this.#child(runtime)).process.stats()).peakRssBytes
  }

  /** Forgets an artifact's crashes: it ran, or nobody wants it any more and a later wish for it starts afresh. */
  pardon(runtime: RuntimeName, artifact: string): void {
    this.#crashes.delete(`${runtime}/${artifact}`)
  }

  /** Loads a model, or waits for the load under way. It is loaded again by itself after its process was lost. */
  async load(spec: ModelSpec): Promise<HostedModel> {
    this.#specs.set(spec.id, spec)
    return this.#hosted(spec, await this.#child(spec.runtime))
  }

  async unload(id: string): Promise<void> {
    const spec = this.#specs.get(id)
    this.#specs.delete(id)
    if (spec === undefined) return
    const holders = [...this.#pool(spec.runtime).live].filter((child) => child.models.has(id))
    await Promise.all(
      holders.map(async (child) => {
        const model = child.models.get(id)
        child.models.delete(id)
        child.loaded.delete(id)
        const loaded = (await model?.catch(() => null)) !== null
        if (loaded && !child.gone && !child.retired) await child.process.unload(id)
        this.#retireIfUnwanted(child)
      })
    )
  }

  /** A model that was loaded before; loads it again if its process was lost since. */
  async model(id: string): Promise<HostedModel> {
    const spec = this.#specOf(id)
    return this.#hosted(spec, await this.#child(spec.runtime))
  }

  /**
   * One inference by original names. Native code cannot be interrupted: after an abort it has a second to end by
   * itself, since ending its process costs every other model in it a load. An inference that only waited behind the
   * one that took the process down runs again in the next process.
   */
  async run(id: string, inputs: SessionInputs, signal: AbortSignal): Promise<SessionResult> {
    try {
      return await this.#runOnce(id, inputs, signal)
    } catch (error) {
      if (!(error instanceof RuntimeLostError) || error.culprit || signal.aborted) throw error
      return await this.#runOnce(id, inputs, signal)
    }
  }

  /** Ends every process, by force those that do not end with their calls. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.allSettled([...this.#pools.values()].map(({ starting }) => starting))
    await Promise.all(
      [...this.#live(), ...this.#retired].map(async ({ process, idle }) => {
        if (idle !== null) clearTimeout(idle)
        const timer = setTimeout(() => this.#kill(process.pid), CLOSE_GRACE_MS)
        await process.close()
        clearTimeout(timer)
      })
    )
  }

  #retireIfUnwanted(child: Child): void {
    if (this.#unwanted.has(child.name) && child.models.size === 0 && !child.gone && !child.retired) this.#retire(child)
  }

  #retire(child: Child): void {
    child.retired = true
    if (child.idle !== null) clearTimeout(child.idle)
    this.#retired.add(child)
    this.#pool(child.name).live.delete(child)
    this.#closeIfIdle(child)
  }

  #closeIfIdle(child: Child): void {
    if (child.calls.size > 0) return
    child.process.close().catch((error: unknown) => {
      this.#deps.log.warn({ runtime: child.name, error: wordsOf(error) }, 'a runtime process did not end cleanly')
    })
  }

  #live(): Child[] {
    return [...this.#pools.values()].flatMap(({ live }) => [...live])
  }

  #pool(name: RuntimeName): Pool {
    const known = this.#pools.get(name)
    if (known !== undefined) return known
    const pool: Pool = { live: new Set(), starting: null }
    this.#pools.set(name, pool)
    return pool
  }

  #kill(pid: number): void {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      // It may have ended between the grace and now.
      this.#deps.log.debug({ pid, error: wordsOf(error) }, 'a runtime process could not be ended')
    }
  }

  async #runOnce(id: string, inputs: SessionInputs, signal: AbortSignal): Promise<SessionResult> {
    const spec = this.#specOf(id)
    const child = this.#leastBusy(spec) ?? (await this.#child(spec.runtime))
    // No turn is lost where it is loaded: the next call must see that this process is taken.
    const hosted = child.loaded.get(id) ?? (await this.#hosted(spec, child))
    if (signal.aborted) throw new AgentError('aborted')
    const hard = new AbortController()
    let timer: NodeJS.Timeout | undefined
    const abort = (): void => {
      timer = setTimeout(() => hard.abort(), ABORT_GRACE_MS)
    }
    signal.addEventListener('abort', abort)
    try {
      const options = { signal: hard.signal, timeoutMs: this.#deps.invokeTimeoutMs }
      const result = await this.#watched(child, spec, () => hosted.session.run(inputs, options))
      hosted.firstMs ??= result.timings.inferenceMs
      this.pardon(spec.runtime, spec.artifact)
      return result
    } finally {
      signal.removeEventListener('abort', abort)
      clearTimeout(timer)
    }
  }

  #specOf(id: string): ModelSpec {
    const spec = this.#specs.get(id)
    if (spec === undefined) throw new AgentError('not-placed', `The model ${id} is not loaded.`, { retryable: true })
    return spec
  }

  #hosted(spec: ModelSpec, child: Child): Promise<HostedModel> {
    const known = child.models.get(spec.id)
    if (known !== undefined) return known
    if ((this.#crashes.get(`${spec.runtime}/${spec.artifact}`) ?? 0) >= CRASHES_IN_A_ROW) {
      throw new AgentError(
        'model-quarantined',
        `Artifact ${spec.artifact} crashed the runtime ${spec.runtime} ${CRASHES_IN_A_ROW} times in a row on this device.`
      )
    }
    const signal = AbortSignal.timeout(LOAD_TIMEOUT_MS)
    const loading = this.#watched(child, spec, () =>
      child.process.load(spec.id, spec.path, { threads: this.#threads, signal })
    ).then((loaded) => {
      const hosted: HostedModel = { loaded, session: new ModelSession(child.process, spec.id, loaded, spec.names) }
      if (child.models.get(spec.id) === loading) child.loaded.set(spec.id, hosted)
      return hosted
    })
    child.models.set(spec.id, loading)
    loading.catch(() => child.models.delete(spec.id))
    return loading
  }

  /** Runs a call in a child and, when the child is lost with it, tells the culprit from those that waited. */
  async #watched<T>(child: Child, { artifact, runtime }: ModelSpec, work: () => Promise<T>): Promise<T> {
    if (child.gone || child.retired) {
      throw new RuntimeLostError('runtime-crashed', `The process of ${runtime} is gone.`, false)
    }
    const call: Call = { artifact }
    child.calls.add(call)
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof RuntimeError)) throw error
      if (error.code === 'runtime-aborted' && child.calls.values().next().value === call) child.culprit = call
      if (error.code !== 'runtime-crashed' && error.code !== 'runtime-timeout') throw error
      child.culprit ??= child.calls.values().next().value ?? call
      const culprit = child.culprit === call
      if (culprit) this.#crashes.set(`${runtime}/${artifact}`, (this.#crashes.get(`${runtime}/${artifact}`) ?? 0) + 1)
      throw new RuntimeLostError(error.code, error.message, culprit)
    } finally {
      // The calls of a lost process stay, so that each of them sees the same oldest call.
      if (!child.gone && child.culprit === null) child.calls.delete(call)
      if (child.retired) this.#closeIfIdle(child)
      else if (!child.gone && child.calls.size === 0 && this.#pool(runtime).live.size > 1) this.#endWhenSpare(child)
    }
  }

  /**
   * The process that answers soonest among those that hold the model. While that one is busy another gets ready behind
   * the scenes: a start and a load take longer than to wait for most inferences.
   */
  #leastBusy(spec: ModelSpec): Child | undefined {
    const { live } = this.#pool(spec.runtime)
    const holders = [...live].filter((child) => child.loaded.has(spec.id))
    const best = holders.sort((a, b) => a.calls.size - b.calls.size)[0]
    if (best !== undefined && best.calls.size > 0) {
      this.#spread(spec).catch((error: unknown) =>
        this.#deps.log.warn({ model: spec.id, error: wordsOf(error) }, 'a further process could not take a model')
      )
    }
    return best
  }

  async #spread(spec: ModelSpec): Promise<void> {
    const { live, starting } = this.#pool(spec.runtime)
    const idle = [...live].find(({ calls, models }) => calls.size === 0 && !models.has(spec.id))
    if (idle === undefined && (starting !== null || live.size >= this.#processes)) return
    const child = idle ?? (await this.#start(spec.runtime))
    // It may have been unloaded meanwhile.
    if (this.#specs.get(spec.id) === spec) await this.#hosted(spec, child)
  }

  #child(name: RuntimeName): Promise<Child> {
    const { live, starting } = this.#pool(name)
    const [first] = live
    return first === undefined ? (starting ?? this.#start(name)) : Promise.resolve(first)
  }

  #start(name: RuntimeName): Promise<Child> {
    if (this.#closed) return Promise.reject(new AgentError('aborted', 'The agent is stopping.'))
    const pool = this.#pool(name)
    const starting = this.#deps.start(name).then((runtime) => {
      const child: Child = {
        name,
        process: runtime,
        models: new Map(),
        loaded: new Map(),
        calls: new Set(),
        culprit: null,
        gone: false,
        retired: false,
        idle: null
      }
      pool.live.add(child)
      runtime.onExit((exit) => this.#onExit(child, exit))
      return child
    })
    pool.starting = starting
    const settled = (): void => {
      pool.starting = null
    }
    starting.then(settled, settled)
    return starting
  }

  /** Ends a process after a while in which it had nothing to do, if all that it holds is held by another one too. */
  #endWhenSpare(child: Child): void {
    if (child.idle !== null) clearTimeout(child.idle)
    child.idle = setTimeout(() => {
      if (child.gone || child.calls.size > 0 || this.#onlyIn(child, child.models.keys()).size > 0) return
      this.#retire(child)
    }, SPARE_MS)
    child.idle.unref()
  }

  #onlyIn(child: Child, models: Iterable<string>): Set<string> {
    const others = [...this.#pool(child.name).live].filter((other) => other !== child)
    return new Set([...models].filter((id) => !others.some(({ loaded }) => loaded.has(id))))
  }

  #onExit(child: Child, exit: RuntimeExit): void {
    child.gone = true
    this.#retired.delete(child)
    if (child.idle !== null) clearTimeout(child.idle)
    this.#pool(child.name).live.delete(child)
    if (exit.expected || child.retired) return
    const { exitCode, signal, stderr } = exit
    this.#deps.log.warn({ runtime: child.name, exitCode, signal, stderr }, 'a runtime process is gone')
    this.#deps.onLost(child.name, this.#onlyIn(child, child.models.keys()))
  }
}
