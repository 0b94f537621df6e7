import type { WaitingJob } from '@skerry/registry'
import {
  ActiveScheduler,
  type AdmissionCandidate,
  admit,
  DEFAULT_WEIGHTS,
  type FilterContext,
  firstRejection,
  type OperatorSupport,
  type Placement,
  type SchedulingContext,
  type ScoreWeights
} from '@skerry/scheduler'
import type { Metrics } from '@skerry/telemetry'
import { freeSlots, jobKey, MAX_TEMPERATURE_C, type Session, type Slot } from '../devices/fleet.ts'
import { CONVERSION_POOL } from '../jobs/pools.ts'
import type { Decision, MeasurementWish } from './decision.ts'
import { Demands } from './demands.ts'
import { Forecast } from './forecast.ts'
import { HeldWorks } from './held-works.ts'
import { KnownDevices } from './known-devices.ts'
import { PlacedRuns } from './placed-runs.ts'
import { ServerClock } from './server-clock.ts'
import { type Respread, Spreads } from './spreads.ts'
import {
  columnOf,
  demandKey,
  deploymentColumn,
  type PlacedJob,
  slotOf,
  type Terms,
  timesOf,
  type WaitingWork,
  type WorkTimes,
  workRequest
} from './work.ts'

type Demand = WaitingWork['demand']

const SLOTS = ['infer', 'convert'] as const
const LIMITS = { temperatureC: MAX_TEMPERATURE_C, batteryPercent: 0 }
/** Jobs of one pool that are held in memory, so that one that nobody can work off leaves the others their room. */
const POOL_ROOM = 10_000
const BUNDLE_ROOM = 64

export type PlacerOptions = {
  support: OperatorSupport
  metrics: Metrics
  nowMs: () => number
  poolRoom?: number
  weights?: ScoreWeights
}

/**
 * The deciding core with the fleet's words: jobs, sessions and deployments in, decisions out. Inference and benchmarks
 * share the slots for inference; conversions have slots, and a core, of their own.
 */
export class Placer {
  readonly forecasts: Record<Slot, Forecast>
  readonly #cores: Record<Slot, ActiveScheduler>
  readonly #devices = new KnownDevices()
  readonly #works = new HeldWorks()
  readonly #poolRoom: number
  readonly #demands = new Demands()
  readonly #spreads = new Spreads()
  readonly #runs = new PlacedRuns()
  readonly #context: Omit<FilterContext, 'placedByValue'>
  readonly #weights: ScoreWeights
  readonly #clock = new ServerClock()
  readonly #nowMs: () => number

  constructor(options: PlacerOptions) {
    this.#poolRoom = options.poolRoom ?? POOL_ROOM
    this.#nowMs = options.nowMs
    this.forecasts = { infer: new Forecast(options.metrics), convert: new Forecast(options.metrics) }
    const { weights = DEFAULT_WEIGHTS } = options
    this.#weights = weights
    this.#cores = {
      infer: new ActiveScheduler(this.forecasts.infer.model, { weights }),
      convert: new ActiveScheduler(this.forecasts.convert.model, { weights })
    }
    this.#context = {
      operatorSupport: options.support,
      limits: LIMITS
    }
  }

  /** In how many milliseconds work is to be looked at again that free devices were left alone for; infinite without. */
  get nextLookInMs(): number {
    return Math.min(...SLOTS.map((slot) => this.#cores[slot].nextLookMs())) - this.#nowMs()
  }

  /** A device came, or what filters read of it changed. */
  upsert(session: Session): void {
    const { index, kind, isUpdate, isKnown } = this.#devices.arrive(session)
    const respread = this.#spreads.noteDevice(session.deviceId, session.labels)
    for (const slot of SLOTS) {
      if (isUpdate) this.#cores[slot].deviceChanged(index)
      else {
        const number = this.forecasts[slot].kind(kind)
        // A device that comes back as it was keeps what was learnt of it.
        if (!isKnown) this.forecasts[slot].model.addDevice(index, number)
        this.#cores[slot].removeDevice(index)
        this.#cores[slot].addDevice(index, number, 0)
      }
    }
    for (const each of respread) this.#askAgain(each)
    // Its replica has told what runs there; what does not came to nothing.
    for (const key of this.#runs.keysOn(session.deviceId))
      if (!session.running.has(key)) this.ended(session.deviceId, key, null)
    this.noteHealth(session)
    this.credits(session)
  }

  /** A heartbeat that changes nothing which filters read. */
  noteHealth({ deviceId, health }: Session): void {
    const index = this.#devices.find(deviceId)
    if (index === undefined) return
    for (const slot of SLOTS) this.#cores[slot].noteWatts(index, health?.watts ?? 0)
  }

  remove(deviceId: string): void {
    const index = this.#devices.find(deviceId)
    if (index === undefined) return
    for (const slot of SLOTS) this.#cores[slot].removeDevice(index)
    for (const each of this.#spreads.noteDevice(deviceId, null)) this.#askAgain(each)
    for (const key of this.#runs.keysOn(deviceId)) this.ended(deviceId, key, null)
    this.#devices.leave(index)
  }

  /** Slots were taken or became free there. */
  credits(session: Session): void {
    const index = this.#devices.find(session.deviceId)
    if (index === undefined) return
    const free = freeSlots(session)
    for (const slot of SLOTS) this.#cores[slot].setSlots(index, free[slot])
  }

  has(key: string): boolean {
    return this.#works.has(key)
  }

  /** How many more jobs of a pool are taken into memory now. */
  room(pool: string): number {
    const room = this.#cores[pool === CONVERSION_POOL ? 'convert' : 'infer'].room(pool, 0)
    return Math.min(room, this.#poolRoom - this.#works.countOf(pool))
  }

  /**
   * Whether to take jobs of a pool in: while some of it waits here, only once there is room for a whole bundle, because what
   * of one finds no room goes back job by job.
   */
  wants(pool: string): boolean {
    const room = this.room(pool)
    return room > 0 && (room >= Math.min(BUNDLE_ROOM, this.#poolRoom / 100) || this.#works.countOf(pool) === 0)
  }

  /** Postgres has just told its time; jobs' own are by it. */
  noteServerTime(serverMs: number): void {
    this.#clock.observe(serverMs, this.#nowMs())
  }

  /** False where memory is full: the job is to stay in its pool. */
  offer(job: WaitingJob): boolean {
    if (this.#isKnown(job)) return true
    return this.#take(job, job.created_ms, timesOf(job, this.#clock))
  }

  /** As `offer`, of what has no row: its times are by our clock. */
  offerCall(job: PlacedJob, times: WorkTimes): boolean {
    if (this.#isKnown(job)) return true
    return this.#take(job, this.#clock.toServer(times.submittedAtMs), times)
  }

  /** A pool may give the same job twice, where a connection to it broke. */
  #isKnown({ id, epoch }: PlacedJob): boolean {
    const key = jobKey(id, epoch)
    return this.#works.has(key) || this.#runs.has(key)
  }

  #take(job: PlacedJob, order: number, times: WorkTimes): boolean {
    const key = jobKey(job.id, job.epoch)
    const slot = slotOf(job.kind)
    const demand = this.#demand(job)
    const work: WaitingWork = { id: key, job, demand, priority: job.priority, order, ...times }
    if (!this.#cores[slot].offer(work)) {
      this.#dropDemand(demand.key)
      return false
    }
    this.#works.add(work)
    return true
  }

  /** What was decided came to nothing for no fault of the job: it waits again. */
  retake({ work }: Decision): void {
    this.#take(work.job, work.order, work)
  }

  forget(key: string): void {
    const work = this.#works.get(key)
    if (work === undefined) return
    this.#cores[slotOf(work.job.kind)].forget(work)
    this.#letGo(work)
  }

  forgetPool(pool: string): void {
    for (const { id } of this.#works.ofPool(pool)) this.forget(id)
  }

  /** Of devices that are there, what they serve and should time again: work is refused for what was learnt long ago. */
  takeMeasurementWishes(): MeasurementWish[] {
    return this.#cores.infer.takeMeasurementWishes().flatMap(({ device, artifact }) => {
      const session = this.#devices.session(device)
      const deployments = [...(session?.ready ?? [])]
      const served = deployments.find(([name]) => this.forecasts.infer.columnIf(deploymentColumn(name)) === artifact)
      if (session === undefined || served === undefined) return []
      const [deployment, { variant }] = served
      return [{ deviceId: session.deviceId, deployment, variant }]
    })
  }

  /** Decides for what is new and for what became free; at most `limit` decisions. */
  decide(limit: number): Decision[] {
    const nowMs = this.#nowMs()
    const decisions: Decision[] = []
    for (const slot of SLOTS)
      while (decisions.length < limit) {
        const placement = this.#cores[slot].place(nowMs)
        if (placement === null) break
        decisions.push(this.#decided(placement))
      }
    return decisions
  }

  /** Time has passed: what was learnt of devices that did nothing since counts less. */
  relax(elapsedMs: number): void {
    for (const slot of SLOTS) this.forecasts[slot].model.relax(elapsedMs)
  }

  /** Nobody can finish these in time any more; they wait for their expiry outside of the deciding. */
  dropHopeless(): void {
    for (const slot of SLOTS) this.#cores[slot].takeHopeless(this.#nowMs())
  }

  /** A decision came to nothing: the job was not claimed. */
  undo(deviceId: string, key: string): void {
    this.#leave(deviceId, key)
  }

  /** It is over: `latencyMs` from its frame to its result, null where it came to none that counts. */
  ended(deviceId: string, key: string, latencyMs: number | null): void {
    const job = this.#leave(deviceId, key)
    const device = this.#devices.find(deviceId)
    if (job === undefined || device === undefined) return
    const slot = slotOf(job.kind)
    const column = this.forecasts[slot].column(columnOf(job))
    this.#cores[slot].noteOutcome(column, latencyMs === null, this.#nowMs())
    if (latencyMs !== null) this.forecasts[slot].observe(device, column, latencyMs)
  }

  /** What a benchmark of it there told. */
  seed(deviceId: string, deployment: string, { p50Ms, runs }: { p50Ms: number; runs: number }): void {
    const device = this.#devices.find(deviceId)
    if (device === undefined) return
    const { infer } = this.forecasts
    infer.seed(device, infer.column(columnOf({ kind: 'inference', deployment })), p50Ms, runs)
  }

  forgetDeployment(deployment: string): void {
    const column = this.forecasts.infer.forget(columnOf({ kind: 'inference', deployment }))
    if (column !== undefined) this.#cores.infer.forgetArtifact(column)
  }

  /**
   * What a job would meet if it came now and had to end within `ttlMs`, by kind of device that may do it; unknown where
   * it never ran anywhere.
   */
  outlook(terms: Terms & { pool: string; priority: number }, ttlMs: number): AdmissionCandidate[] | 'unknown' {
    const slot = slotOf(terms.kind)
    const demand = this.#demand(terms)
    try {
      if (!this.forecasts[slot].knows(demand.artifact)) return 'unknown'
      const nowMs = this.#nowMs()
      const work = { demand, priority: terms.priority, deadlineMs: nowMs + ttlMs }
      const outlook = this.#cores[slot].outlook(work, nowMs)
      if (admit(outlook, ttlMs, 'strict').kind === 'refused') this.#cores[slot].noteRefused(demand, nowMs)
      return outlook
    } finally {
      this.#dropDemand(demand.key)
    }
  }

  /** For explanations, of a job that has `leftMs` until its deadline. */
  contextFor(job: Terms, leftMs: number): SchedulingContext {
    const slot = slotOf(job.kind)
    const column = this.forecasts[slot].column(columnOf(job))
    const nowMs = this.#nowMs()
    return {
      ...this.#filtersContext(demandKey(job)),
      weights: this.#weights.device,
      candidate: ({ id }) => this.#cores[slot].candidate(this.#devices.of(id), column, leftMs, nowMs),
      measured: ({ id }) => this.forecasts[slot].profile(this.#devices.of(id), column)
    }
  }

  #filtersContext(demand: string): FilterContext {
    const spreads = this.#spreads
    return {
      ...this.#context,
      get placedByValue() {
        return spreads.countsOf(demand)
      }
    }
  }

  #decided(placement: Placement): Decision {
    const work = placement.work as WaitingWork
    const { job } = work
    this.#letGo(work)
    const session = this.#devices.session(placement.device)
    // The device cannot have gone: it is taken out of the core in the same turn as out of the fleet.
    if (session === undefined) throw new Error(`a job was placed on device ${placement.device}, which is not there`)
    this.#enter(job, session)
    const served = job.deployment === null ? null : (session.ready.get(job.deployment) ?? null)
    return { work, job, session, served, predictedFinishMs: placement.predictedFinishMs }
  }

  /** At the decision, so that the next one already sees where jobs of its group are. */
  #enter(job: PlacedJob, session: Session): void {
    const { spread } = job.terms
    const value = spread === undefined ? undefined : session.labels[spread.label]
    this.#runs.add(session.deviceId, jobKey(job.id, job.epoch), { job, value })
    if (spread !== undefined) this.#countSpread(demandKey(job), value, 1)
  }

  #leave(deviceId: string, key: string): PlacedJob | undefined {
    const run = this.#runs.take(deviceId, key)
    if (run === undefined) return undefined
    const { job, value } = run
    if (job.terms.spread !== undefined) {
      this.#countSpread(demandKey(job), value, -1)
      this.#dropSpread(demandKey(job))
    }
    return job
  }

  #letGo(work: WaitingWork): void {
    this.#works.take(work)
    this.#dropDemand(work.demand.key)
  }

  #demand(job: Terms & { pool: string }): Demand {
    const key = demandKey(job)
    return this.#demands.open(key, () => {
      const slot = slotOf(job.kind)
      const request = workRequest(job)
      if (request.spread !== null) this.#spreads.open(key, request.spread)
      const context = this.#filtersContext(key)
      const demand: Demand = {
        key,
        pool: job.pool,
        artifact: this.forecasts[slot].column(columnOf(job)),
        admits: (device) => {
          const snapshot = this.#devices.snapshot(device, slot)
          return snapshot !== null && firstRejection(request, snapshot, context) === null
        }
      }
      if (job.target_device_id !== null) demand.device = this.#devices.of(job.target_device_id)
      return demand
    })
  }

  #dropDemand(key: string): void {
    if (this.#demands.drop(key)) this.#dropSpread(key)
  }

  #dropSpread(key: string): void {
    if (!this.#demands.has(key)) this.#spreads.dropIdle(key)
  }

  #countSpread(group: string, value: string | undefined, change: 1 | -1): void {
    this.#askAgain(this.#spreads.noteJob(group, value, change))
  }

  #askAgain({ demand, devices }: Respread): void {
    if (devices.length === 0) return
    this.#cores.infer.demandChanged(
      demand,
      devices.map((device) => this.#devices.of(device))
    )
  }
}
