import type { AgentFrame, BenchmarkResult, RuntimeName } from '@skerry/contracts'
import { statistics } from '@skerry/runtimes'
import { AgentError, wordsOf } from '../agent-error.ts'
import { emptyInputs } from '../jobs/benchmark.ts'
import type { Lane } from '../lane.ts'
import type { Unit } from '../plan.ts'
import type { Reconciler } from '../reconciler.ts'
import { RuntimeLostError } from '../runtime-host.ts'
import { firstGoldenInput } from '../steps/check.ts'
import type { StepDeps } from '../steps/step-deps.ts'
import type { BenchmarkLog } from './benchmark-log.ts'
import { type Conditions, isSame } from './conditions.ts'

export type DeployedBenchmarksDeps = StepDeps & {
  kept: BenchmarkLog
  reconciler: Pick<Reconciler, 'placements'>
  lanes: { infer: Lane; convert: Lane }
  /** Why the device takes no work now, or null. */
  refusal: () => Promise<string | null>
  /** null for a runtime that is not there any more. */
  conditionsOf: (runtime: RuntimeName) => Promise<Conditions | null>
  /** What stands in a result beside its times. */
  detailsOf: (runtime: RuntimeName) => Pick<BenchmarkResult, 'runtimeVersion' | 'threads'>
  /** False when there is no session. */
  send: (frame: Extract<AgentFrame, { type: 'benchmark' }>) => boolean
  now: () => number
}

const MAX_RUNS = 50
/** Of inference, beyond the least number of runs. */
const MAX_STEADY_MS = 800
/** However slow the model: one run in a hundred takes several times as long, and of fewer the median would tell of it. */
const MIN_RUNS = 5
const MAX_WARMUP_RUNS = 5
const MAX_WARMUP_MS = 200
const RESEND_AFTER_MS = 30_000
/** Placements on their way there compete for the processor and the runtime's process, and go first. */
const ON_THEIR_WAY = new Set(['verifying', 'loading', 'checking'])

/**
 * Measures what is deployed here, once and unasked, after it is ready, and tells the control plane until it knows:
 *
 *     ready -> the device is idle and takes work -> a run, as long as both hold -> kept -> sent -> acknowledged
 *
 * In the phases of TFLite's benchmark_model, but briefer, and with a slot only for each run, so that jobs and local
 * requests wait for one inference at most. What is interrupted begins again with the next sign that it may go on.
 */
export class DeployedBenchmarks {
  readonly #deps: DeployedBenchmarksDeps
  readonly #stopping = new AbortController()
  /** Units that failed since the start: what goes wrong twice is not tried a third time before the next one. */
  readonly #failures = new Map<string, number>()
  readonly #sentAtMs = new Map<string, number>()
  #understood = false
  #due = false
  #running: Promise<void> | null = null

  constructor(deps: DeployedBenchmarksDeps) {
    this.#deps = deps
  }

  /** Something became ready, or the device takes work again. An older control plane has no use for figures. */
  look(): void {
    this.#due = true
    if (!this.#understood || this.#stopping.signal.aborted || this.#running !== null) return
    this.#running = this.#measureAll().finally(() => {
      this.#running = null
    })
  }

  /** A new session began, with a control plane that takes benchmarks or does not. */
  onSession(understands: readonly string[]): void {
    this.#understood = understands.includes('benchmark')
    this.#sentAtMs.clear()
    this.resend()
    this.look()
  }

  /** What was never acknowledged and not sent just now. */
  resend(): void {
    if (!this.#understood) return
    const { kept, send, now } = this.#deps
    for (const { id, result } of kept.unacknowledged()) {
      if (now() - (this.#sentAtMs.get(id) ?? Number.NEGATIVE_INFINITY) < RESEND_AFTER_MS) continue
      if (!send({ type: 'benchmark', id, benchmark: result })) return
      this.#sentAtMs.set(id, now())
    }
  }

  ack(id: string): void {
    this.#sentAtMs.delete(id)
    this.#deps.kept.acknowledge(id)
  }

  /** A job measured it: it need not be measured again. Never rejects. */
  async noteJob(result: BenchmarkResult): Promise<void> {
    try {
      const conditions = await this.#deps.conditionsOf(result.runtime)
      if (conditions !== null) await this.#deps.kept.add(conditions, result, true)
    } catch (error) {
      this.#deps.log.warn({ error: wordsOf(error) }, 'that a job measured a model could not be noted')
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new AgentError('aborted'))
    await this.#running
  }

  /** Never rejects. */
  async #measureAll(): Promise<void> {
    while (this.#due && !this.#stopping.signal.aborted) {
      this.#due = false
      for (const unit of this.#ready()) {
        try {
          await this.#measureOnce(unit)
        } catch (error) {
          if (this.#stopping.signal.aborted) return
          this.#onFailure(unit, error)
        }
      }
    }
  }

  #ready(): Unit[] {
    return (this.#deps.reconciler.placements() ?? []).flatMap(({ unit, state }) => (state === 'ready' ? [unit] : []))
  }

  async #measureOnce(unit: Unit): Promise<void> {
    const { kept, conditionsOf, log } = this.#deps
    if ((this.#failures.get(unit.id) ?? 0) > 1) return
    const conditions = await conditionsOf(unit.runtime)
    if (conditions === null || kept.has(unit.artifact, unit.runtime, conditions)) return
    const result = await this.#measure(unit)
    const after = await conditionsOf(unit.runtime)
    if (result === null || after === null || !isSame(conditions, after)) return
    // A job may have measured it meanwhile, for longer.
    if (kept.has(unit.artifact, unit.runtime, conditions)) return
    await kept.add(conditions, result, false)
    log.info({ benchmark: result }, 'a deployed model was measured')
    this.resend()
  }

  /** null when it had to stop before its end. */
  async #measure(unit: Unit): Promise<BenchmarkResult | null> {
    const { host, detailsOf } = this.#deps
    if (!(await this.#mayRun(unit))) return null
    const hosted = await host.model(unit.id)
    const inputs = (await firstGoldenInput(unit, hosted.session, this.#deps)) ?? emptyInputs(hosted.session)
    const phase = async (leastRuns: number, mostRuns: number, mostMs: number): Promise<number[] | null> => {
      const times: number[] = []
      for (let spentMs = 0; times.length < leastRuns || (times.length < mostRuns && spentMs < mostMs); ) {
        const release = await this.#idleSlot()
        try {
          if (!(await this.#mayRun(unit))) return null
          const { timings } = await host.run(unit.id, inputs, this.#stopping.signal)
          times.push(timings.inferenceMs)
          spentMs += timings.inferenceMs
        } finally {
          release()
        }
      }
      return times
    }
    // Its golden inputs were its first inferences; without any, this is.
    if (hosted.firstMs === undefined && (await phase(1, 1, 0)) === null) return null
    const firstMs = hosted.firstMs ?? 0
    const warmupMs = firstMs >= MAX_WARMUP_MS ? [] : await phase(0, MAX_WARMUP_RUNS, MAX_WARMUP_MS)
    const steadyMs = warmupMs === null ? null : await phase(MIN_RUNS, MAX_RUNS, MAX_STEADY_MS)
    if (warmupMs === null || steadyMs === null) return null
    const { count: runs, ...steady } = statistics(steadyMs)
    const { count: warmupRuns, avgMs: warmupAvgMs } = statistics(warmupMs)
    const { artifact, runtime } = unit
    return {
      ...{ artifact, runtime, ...detailsOf(runtime), runs, initMs: hosted.loaded.loadMs, firstMs, ...steady },
      ...{ warmupRuns, ...(warmupRuns === 0 ? {} : { warmupAvgMs }) },
      peakRssBytes: await host.peakRssBytes(runtime)
    }
  }

  async #mayRun(unit: Unit): Promise<boolean> {
    if ((await this.#deps.refusal()) !== null) return false
    const placements = this.#deps.reconciler.placements() ?? []
    return (
      placements.some((each) => each.unit.id === unit.id && each.state === 'ready') &&
      !placements.some(({ state }) => ON_THEIR_WAY.has(state))
    )
  }

  /** A slot, once nothing else runs or waits: beside other work the times would be those of both. */
  async #idleSlot(): Promise<() => void> {
    const { infer, convert } = this.#deps.lanes
    const { signal } = this.#stopping
    for (;;) {
      signal.throwIfAborted()
      const busy = [infer, convert].find((lane) => !lane.isIdle)
      // In the same turn as the look at it, so that nobody came in between.
      if (busy === undefined) return infer.take(signal)
      await busy.idle(signal)
    }
  }

  #onFailure(unit: Unit, error: unknown): void {
    // It waited behind another's crash, or is not wanted any more: a later look finds it ready again, or not.
    if (error instanceof RuntimeLostError && !error.culprit) return
    if (error instanceof AgentError && error.code === 'not-placed') return
    this.#failures.set(unit.id, (this.#failures.get(unit.id) ?? 0) + 1)
    const { artifact, runtime } = unit
    this.#deps.log.warn({ artifact, runtime, error: wordsOf(error) }, 'a deployed model could not be measured')
  }
}
