import { isDeepStrictEqual } from 'node:util'
import type { AgentFrame, DesiredArtifact, PlacementState, RuntimeName } from '@skerry/contracts'
import { RuntimeError } from '@skerry/runtimes'
import { AgentError, wordsOf } from './agent-error.ts'
import type { OnPoint } from './agent-point.ts'
import { Backoff } from './backoff.ts'
import type { GoldenLog, Versions } from './golden-log.ts'
import { type EvictStep, filesOf, plan, type Step, type Unit, unitsOf } from './plan.ts'
import { RuntimeLostError } from './runtime-host.ts'
import { check } from './steps/check.ts'
import { evict } from './steps/evict.ts'
import { fetchFile } from './steps/fetch.ts'
import { load } from './steps/load.ts'
import type { StepDeps } from './steps/step-deps.ts'
import { verify } from './steps/verify.ts'

export type PlacementFrame = Extract<AgentFrame, { type: 'placement' }>

type Status = { state: PlacementState; reason?: string; loadMs?: number }
export type Placement = Status & { unit: Unit }
type Hold = { timer: NodeJS.Timeout | null }

/** Attempts at a step that fails here and not on the way here, before the placement counts as failed. */
const LOCAL_ATTEMPTS = 3
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 30_000
const REASON_LENGTH = 2_000
const STATE_OF = { fetch: 'fetching', verify: 'verifying', load: 'loading', check: 'checking' } as const
const POINT_AFTER = { verify: 'verified', load: 'loaded', check: 'checked' } as const

export type ReconcilerDeps = StepDeps & {
  report: (frame: PlacementFrame) => void
  goldens: GoldenLog
  versionsOf: (runtime: RuntimeName) => Promise<Versions>
  random: () => number
  now: () => number
  onPoint: OnPoint
}

/**
 * Leads the device from what it has to what the control plane wants, one step at a time; the plan is made anew after
 * each step, so a wish that changed takes effect at the next one.
 */
export class Reconciler {
  readonly #deps: ReconcilerDeps
  readonly #verified = new Set<string>()
  readonly #checked = new Set<string>()
  /** Ready units that serve on while they are checked again. */
  readonly #rechecking = new Set<string>()
  readonly #status = new Map<string, Status>()
  readonly #held = new Map<string, Hold>()
  readonly #retries = new Map<string, { backoff: Backoff; local: number }>()
  readonly #pinned = new Map<string, number>()
  readonly #changed = new Set<() => void>()
  readonly #restart: Backoff
  #lastLossAt = Number.NEGATIVE_INFINITY
  #desired: Unit[] | null = null
  #running: { unit: string | null; controller: AbortController; done: Promise<void> } | null = null
  #stopped = false

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps
    this.#restart = new Backoff(deps.random, FIRST_WAIT_MS, LONGEST_WAIT_MS)
  }

  setDesired(desired: readonly DesiredArtifact[]): void {
    const units = unitsOf(desired)
    const wanted = new Set(units.map((unit) => unit.id))
    for (const unit of this.#desired ?? []) {
      if (wanted.has(unit.id)) continue
      this.#forget(unit)
      // It was in use until now, so it is the last of the spare ones to go.
      this.#deps.cache.touch(filesOf(unit))
    }
    this.#desired = units
    this.#deps.goldens.keep(wanted)
    this.#deps.cache.touch(units.flatMap(filesOf))
    for (const unit of units) {
      if (!this.#status.has(unit.id)) this.#setStatus(unit, { state: 'pending' })
      else this.#report(unit)
    }
    const running = this.#running
    if (running !== null && running.unit !== null && !wanted.has(running.unit)) running.controller.abort()
    this.#announce()
    this.#kick()
  }

  /** A process of this runtime is gone: what it held loads again, at once or, if that happens often, a little later. */
  runtimeLost(runtime: RuntimeName, models: ReadonlySet<string>): void {
    const now = this.#deps.now()
    if (now - this.#lastLossAt > LONGEST_WAIT_MS) this.#restart.reset()
    const waitMs = now - this.#lastLossAt > LONGEST_WAIT_MS ? 0 : this.#restart.nextMs()
    this.#lastLossAt = now
    for (const unit of this.#desired ?? []) {
      if (unit.runtime !== runtime || !models.has(unit.id)) continue
      if (this.#status.get(unit.id)?.state !== 'ready') continue
      this.#setStatus(unit, { state: 'loading', reason: 'Its runtime ended and starts again.' })
      if (waitMs > 0) this.#hold(unit, waitMs)
    }
    this.#kick()
  }

  /** Everything is loaded and checked again, because processes start with other settings from now on. */
  reload(reason: string): void {
    for (const unit of this.#desired ?? []) {
      if (this.#status.get(unit.id)?.state !== 'ready') continue
      this.#checked.delete(unit.id)
      this.#setStatus(unit, { state: 'loading', reason })
    }
    this.#kick()
  }

  /** Runs the golden inputs of everything that is ready once more; it serves on, and fails where it no longer passes. */
  recheck(): void {
    for (const unit of this.#desired ?? []) {
      if (this.#status.get(unit.id)?.state !== 'ready') continue
      this.#checked.delete(unit.id)
      this.#rechecking.add(unit.id)
    }
    this.#kick()
  }

  /** Keeps files in the cache and models in memory while something other than the desired state uses them. */
  pin(filesAndModels: readonly string[]): () => void {
    for (const each of filesAndModels) this.#pinned.set(each, (this.#pinned.get(each) ?? 0) + 1)
    return () => {
      for (const each of filesAndModels) {
        const count = (this.#pinned.get(each) ?? 1) - 1
        if (count > 0) this.#pinned.set(each, count)
        else this.#pinned.delete(each)
      }
      this.#kick()
    }
  }

  /** Everything that is wanted and how far it has got; null while nothing is known of it. */
  placements(): Placement[] | null {
    return (
      this.#desired?.map((unit) => ({ unit, ...(this.#status.get(unit.id) ?? { state: 'pending' as const }) })) ?? null
    )
  }

  /** The unit that serves a deployment with an artifact, once it is ready; waits while it is on its way there. */
  async ready(deployment: string, artifact: string, signal: AbortSignal): Promise<Unit> {
    for (;;) {
      const unit = this.#desired?.find((unit) => unit.artifact === artifact && unit.deployments.includes(deployment))
      const status = unit === undefined ? undefined : this.#status.get(unit.id)
      if (this.#desired !== null && (unit === undefined || status?.state === 'failed')) {
        const why = status?.reason ?? 'it is not among what this device should serve'
        throw new AgentError('not-placed', `Artifact ${artifact} of ${deployment} is not ready here: ${why}`, {
          retryable: true
        })
      }
      if (unit !== undefined && status?.state === 'ready') return unit
      await this.#nextChange(signal)
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const { timer } of this.#held.values()) if (timer !== null) clearTimeout(timer)
    this.#running?.controller.abort()
    await this.#running?.done
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#changed.delete(settle)
        signal.removeEventListener('abort', settle)
        if (signal.aborted) reject(new AgentError('aborted'))
        else resolve()
      }
      if (signal.aborted) return settle()
      this.#changed.add(settle)
      signal.addEventListener('abort', settle)
    })
  }

  #announce(): void {
    for (const listener of [...this.#changed]) listener()
  }

  #kick(): void {
    if (this.#stopped || this.#desired === null || this.#running !== null) return
    this.#running = { unit: null, controller: new AbortController(), done: Promise.resolve() }
    this.#running.done = this.#loop().catch((error: unknown) => {
      this.#running = null
      this.#deps.log.error({ error }, 'the cache cannot be read')
    })
  }

  async #loop(): Promise<void> {
    await this.#deps.cache.dropParts(new Set([...(this.#desired ?? []).flatMap(filesOf), ...this.#pinned.keys()]))
    for (let step = this.#next(); step !== undefined && !this.#stopped; step = this.#next()) {
      if (step.kind === 'evict') await this.#evict(step)
      else await this.#execute(step, step.unit)
    }
    // In the same turn as the last look at the plan, so that no change after it goes unseen.
    this.#running = null
  }

  async #evict(step: EvictStep): Promise<void> {
    // Memory is empty after any crash; only the disk has a state to find.
    if ('file' in step) this.#deps.onPoint('evict')
    await evict(step, this.#deps)
    if ('file' in step) this.#deps.onPoint('evicted')
  }

  #next(): Step | undefined {
    const steps = plan(this.#desired ?? [], {
      files: this.#deps.cache.files(),
      sizes: this.#deps.cache.sizes(),
      limitBytes: this.#deps.cache.limitBytes(),
      pinned: new Set(this.#pinned.keys()),
      verified: this.#verified,
      loaded: this.#deps.host.loadedIds(),
      checked: this.#checked,
      held: new Set(this.#held.keys())
    })
    const busy = new Set(steps.map((step) => (step.kind === 'evict' ? null : step.unit.id)))
    for (const unit of this.#desired ?? []) {
      if (busy.has(unit.id) || this.#held.has(unit.id)) continue
      const { state, loadMs } = this.#status.get(unit.id) ?? { state: 'pending' }
      if (state === 'ready') continue
      this.#setStatus(unit, { state: 'ready', ...(loadMs === undefined ? {} : { loadMs }) })
      this.#deps.onPoint('ready')
    }
    return steps[0]
  }

  async #execute(step: Exclude<Step, { kind: 'evict' }>, unit: Unit): Promise<void> {
    const controller = new AbortController()
    const running = this.#running
    if (running !== null) {
      running.unit = unit.id
      running.controller = controller
    }
    const { loadMs } = this.#status.get(unit.id) ?? {}
    const again = step.kind === 'check' && this.#rechecking.delete(unit.id)
    if (!again) this.#setStatus(unit, { state: STATE_OF[step.kind], ...(loadMs === undefined ? {} : { loadMs }) })
    try {
      if (step.kind !== 'fetch') this.#deps.onPoint(step.kind)
      if (step.kind === 'fetch') await fetchFile(unit, step.file, this.#deps, controller.signal)
      else if (step.kind === 'verify') {
        await verify(unit, this.#deps, controller.signal)
        this.#verified.add(unit.id)
      } else if (step.kind === 'load') {
        const loadMs = await load(unit, this.#deps)
        this.#setStatus(unit, { state: 'loading', loadMs })
        // A new process may have loaded a library that was exchanged since.
        const versions = await this.#deps.versionsOf(unit.runtime)
        if (this.#deps.goldens.changesSince(unit.id, versions).length > 0) this.#checked.delete(unit.id)
      } else await this.#check(unit, controller.signal)
      if (step.kind !== 'fetch') this.#deps.onPoint(POINT_AFTER[step.kind])
      this.#retries.delete(unit.id)
    } catch (error) {
      if (!controller.signal.aborted) this.#onFailure(step.kind, unit, error)
    } finally {
      if (running !== null) running.unit = null
      // A wish that was withdrawn while its step ran leaves nothing behind.
      if (!this.#desired?.some(({ id }) => id === unit.id)) this.#forget(unit)
    }
  }

  async #check(unit: Unit, signal: AbortSignal): Promise<void> {
    const { goldens, versionsOf, now } = this.#deps
    const versions = await versionsOf(unit.runtime)
    try {
      await check(unit, this.#deps, signal)
    } catch (error) {
      if (!(error instanceof AgentError) || error.code !== 'golden-mismatch') throw error
      const changes = goldens.changesSince(unit.id, versions)
      if (changes.length === 0) throw error
      const since = `${error.message} Since it last did: ${changes.join('; ')}.`
      throw new AgentError('golden-mismatch', since, { cause: error })
    }
    this.#checked.add(unit.id)
    goldens.passed(unit.id, versions, now())
  }

  #onFailure(kind: keyof typeof STATE_OF, unit: Unit, error: unknown): void {
    const reason = wordsOf(error).slice(0, REASON_LENGTH)
    const retry = this.#retries.get(unit.id) ?? {
      backoff: new Backoff(this.#deps.random, FIRST_WAIT_MS, LONGEST_WAIT_MS),
      local: 0
    }
    this.#retries.set(unit.id, retry)
    const onTheWay = error instanceof AgentError && error.code === 'transfer-failed'
    if (!onTheWay) retry.local++
    if (onTheWay || (isPassing(error) && retry.local < LOCAL_ATTEMPTS)) {
      this.#deps.log.warn({ artifact: unit.artifact, step: kind, reason }, 'a step failed and will be tried again')
      this.#setStatus(unit, { state: STATE_OF[kind], reason })
      this.#hold(unit, retry.backoff.nextMs())
    } else {
      this.#deps.log.error({ artifact: unit.artifact, step: kind, reason }, 'a placement failed')
      this.#held.set(unit.id, { timer: null })
      this.#setStatus(unit, { state: 'failed', reason })
    }
  }

  #hold(unit: Unit, waitMs: number): void {
    const before = this.#held.get(unit.id)
    if (before?.timer) clearTimeout(before.timer)
    const timer = setTimeout(() => {
      this.#held.delete(unit.id)
      this.#kick()
    }, waitMs)
    this.#held.set(unit.id, { timer })
  }

  #forget(unit: Unit): void {
    const hold = this.#held.get(unit.id)
    if (hold?.timer) clearTimeout(hold.timer)
    this.#held.delete(unit.id)
    this.#verified.delete(unit.id)
    this.#checked.delete(unit.id)
    this.#rechecking.delete(unit.id)
    this.#status.delete(unit.id)
    this.#retries.delete(unit.id)
    this.#deps.host.pardon(unit.runtime, unit.artifact)
  }

  #setStatus(unit: Unit, status: Status): void {
    if (this.#desired?.some(({ id }) => id === unit.id) !== true) return
    const before = this.#status.get(unit.id)
    this.#status.set(unit.id, status)
    // Each file of a unit is a step of its own; that the same thing goes on is no news.
    if (before !== undefined && isDeepStrictEqual(before, status)) return
    this.#report(unit)
    this.#announce()
  }

  #report(unit: Unit): void {
    const status = this.#status.get(unit.id)
    if (status === undefined) return
    for (const deployment of unit.deployments) {
      this.#deps.report({ type: 'placement', deployment, artifact: unit.artifact, ...status })
    }
  }
}

/** Whether a failed step may go better without anybody's help. */
function isPassing(error: unknown): boolean {
  if (error instanceof RuntimeLostError) return true
  if (error instanceof RuntimeError) return error.code === 'runtime-unavailable' || error.code === 'runtime-closed'
  return error instanceof AgentError && error.retryable
}
