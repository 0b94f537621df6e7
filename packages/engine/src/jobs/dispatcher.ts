import { CONVERSION_LEASE_MS, type ControlFrame, INFERENCE_LEASE_MS } from '@skerry/contracts'
import type { Fetched, QueueEntry } from '@skerry/queue'
import {
  type Claim,
  type ClaimedJob,
  claimJobs,
  type Fence,
  type InferencePayload,
  loadWaiting,
  serverNowMs,
  type WaitingJob
} from '@skerry/registry'
import { type Fleet, jobKey } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { Decision, MeasurementWish } from '../scheduling/decision.ts'
import type { Placer } from '../scheduling/placer.ts'
import { slotOf } from '../scheduling/work.ts'
import { type CallRef, isTicket } from '../synchronous/call.ts'
import type { CallRuns } from '../synchronous/call-runs.ts'
import { aloneOf, entryOf } from './outbox.ts'
import { PoolWatch } from './pool-watch.ts'
import { poolsInUse } from './pools-in-use.ts'

const FETCH_LIMIT = 256
/** Pools that are looked into side by side, before what they gave is placed. */
const POOLS_AT_ONCE = 16
const CLAIM_LIMIT = 512
const POLL_MS = 2_000
const LEAST_LOOK_MS = 1

/** The terms of a conversion or benchmark, as they are stored in a job's payload. */
type WorkPayload = Extract<ControlFrame, { type: 'assign' }>['work']

export type DispatcherParts = {
  fleet: Fleet
  placer: Placer
  calls: CallRuns
  /** Has a device time what it serves. */
  measure: (wish: MeasurementWish) => Promise<unknown>
}

/**
 * Takes job ids out of the pools, claims rows for devices that are free now, and sends them.
 *
 *   BullMQ pool --fetch--> waiting (the placer's memory) --decide--> claim in Postgres --> frame to the device
 *                             ^ a job that nobody free should do now stays here
 */
export class Dispatcher {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #placer: Placer
  readonly #calls: CallRuns
  readonly #measure: DispatcherParts['measure']
  readonly #pools = new PoolWatch()
  #pumping: Promise<void> | null = null
  #again = false
  #poll: NodeJS.Timeout | undefined
  #heldBack: NodeJS.Timeout | undefined
  #stopped = true
  #fence: Fence | null = null

  constructor(resources: EngineResources, { fleet, placer, calls, measure }: DispatcherParts) {
    this.#resources = resources
    this.#fleet = fleet
    this.#placer = placer
    this.#calls = calls
    this.#measure = measure
    fleet.listen({
      onConnected: (session) => {
        placer.upsert(session)
        calls.deviceLost(session.deviceId, session)
        // Pools whose work found no room are looked into again; the others have told when something came.
        this.pump()
      },
      onDisconnected: (deviceId) => {
        placer.remove(deviceId)
        calls.deviceLost(deviceId)
        this.pump()
      },
      onCredits: (deviceId) => {
        const session = fleet.get(deviceId)
        if (session !== undefined) placer.credits(session)
      },
      onChanged: (deviceId) => {
        const session = fleet.get(deviceId)
        if (session !== undefined) placer.upsert(session)
        this.pump()
      },
      onHealth: (session) => placer.noteHealth(session),
      onReleased: ({ deviceId, key, outcome, roundTripMs }) => {
        placer.ended(deviceId, key, outcome === 'succeeded' ? (roundTripMs ?? null) : null)
        calls.gone(key)
      }
    })
  }

  /** Claims nothing once `fence` no longer holds. */
  async start(fence: Fence): Promise<void> {
    this.#stopped = false
    this.#fence = fence
    const { registry } = this.#resources
    this.#placer.noteServerTime(await serverNowMs(registry.pool))
    for (const pool of await poolsInUse(registry)) this.#pools.wake(pool)
    // A wake-up can be lost with a connection; the slow poll is the net below it.
    this.#poll = setInterval(() => {
      this.#placer.relax(POLL_MS)
      this.#placer.dropHopeless()
      for (const wish of this.#placer.takeMeasurementWishes()) this.#askFor(wish)
      for (const key of this.#calls.overdue()) this.#forgetCall(key)
      void this.#readClock()
      this.pollAll()
    }, POLL_MS)
    this.pollAll()
  }

  #askFor(wish: MeasurementWish): void {
    // At the next refusal, some minutes on, it is wished for again.
    void this.#measure(wish).catch((error) =>
      this.#resources.log.warn({ err: error, ...wish }, 'a device was not asked to time what it serves')
    )
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#poll)
    clearTimeout(this.#heldBack)
    await this.#pumping
    this.#calls.lost(this.#calls.waiting(), 'the replica that schedules changes')
  }

  /** What has expired is Postgres's to say, so that its clock has to be known. */
  async #readClock(): Promise<void> {
    try {
      this.#placer.noteServerTime(await serverNowMs(this.#resources.registry.pool))
    } catch (error) {
      this.#resources.log.warn({ err: error }, "Postgres's clock could not be read; it is tried again")
    }
  }

  wake(pool: string): void {
    this.#pools.wake(pool)
    this.pump()
  }

  /** Wake-ups may have been lost. */
  pollAll(): void {
    this.#pools.pollAll()
    this.pump()
  }

  /** Pools with work, where the wake-up may have been lost. */
  know(pools: readonly string[]): void {
    for (const pool of pools) if (!this.#pools.knows(pool)) this.wake(pool)
  }

  /** Held in memory here, so not lost although BullMQ no longer knows it. */
  holds(id: string, epoch: number): boolean {
    return this.#placer.has(jobKey(id, epoch))
  }

  forget(id: string, epoch: number): void {
    this.#placer.forget(jobKey(id, epoch))
  }

  /** Waits here, or runs somewhere. */
  holdsCall(key: string): boolean {
    if (this.#calls.has(key)) return true
    for (const { running } of this.#fleet.all()) if (running.has(key)) return true
    return false
  }

  /** Nobody asks for it any more; what runs it is told to stop, and keeps its slot until it says it did. */
  endCall({ id, epoch }: CallRef): void {
    const key = jobKey(id, epoch)
    const place = this.#calls.placeOf(key)
    if (place === undefined) return
    if (place === null) this.#forgetCall(key)
    else {
      this.#calls.gone(key)
      this.#fleet.current(place.deviceId, place.session)?.link.send({ type: 'cancel', jobId: id, epoch })
    }
  }

  #forgetCall(key: string): void {
    this.#placer.forget(key)
    this.#calls.gone(key)
  }

  forgetPool(pool: string): void {
    this.#calls.lost(this.#calls.waiting(pool), 'its deployment is gone')
    this.#pools.forget(pool)
    this.#placer.forgetPool(pool)
  }

  /** What was learnt of it says nothing of another deployment of that name. */
  forgetDeployment(deployment: string): void {
    this.#placer.forgetDeployment(deployment)
  }

  /** Looks for work again: a slot became free, a device became ready, a job arrived. */
  pump(): void {
    if (this.#stopped) return
    if (this.#pumping !== null) {
      this.#again = true
      return
    }
    this.#pumping = this.#run().finally(() => {
      this.#pumping = null
      if (this.#again) {
        this.#again = false
        this.pump()
      }
    })
  }

  async #run(): Promise<void> {
    try {
      do {
        this.#again = false
        await this.#fetch()
      } while (((await this.#place()) || this.#again) && !this.#stopped)
    } catch (error) {
      this.#resources.log.error({ err: error }, 'dispatch failed; trying again shortly')
      if (!this.#stopped) setTimeout(() => this.pump(), 500)
    }
    clearTimeout(this.#heldBack)
    const inMs = this.#placer.nextLookInMs
    if (!this.#stopped && inMs < POLL_MS) this.#heldBack = setTimeout(() => this.pump(), Math.max(LEAST_LOOK_MS, inMs))
  }

  /** Into the placer's memory, so that what is most urgent can go first, whichever pool it lies in. */
  async #fetch(): Promise<void> {
    const pools = this.#pools.take(POOLS_AT_ONCE, (pool) => this.#placer.wants(pool))
    if (pools.length === POOLS_AT_ONCE) this.#again = true
    await Promise.all(pools.map((pool) => this.#fetchFrom(pool)))
  }

  async #fetchFrom(pool: string): Promise<void> {
    const { queue } = this.#resources
    const limit = Math.min(this.#placer.room(pool), FETCH_LIMIT)
    let first: Promise<unknown> | null = null
    const fetched = await queue.fetch(pool, limit, (one) => {
      first = this.#takeIn([one]).then(() => this.#place())
      // Awaited below, together with what came after it.
      first.catch(() => undefined)
    })
    const count = fetched.length + (first === null ? 0 : 1)
    if (count >= limit) this.#pools.wake(pool)
    else if (this.#pools.foundEmpty(pool)) queue.letGo(pool)
    await Promise.all([first, this.#takeIn(fetched)])
  }

  /** What has no room goes back into its pool. */
  async #takeIn(fetched: readonly Fetched[]): Promise<void> {
    const { queue, registry } = this.#resources
    if (fetched.length === 0) return
    const [loaded, calls] = await Promise.all([
      loadWaiting(
        registry.pool,
        fetched.filter(({ data }) => data === null)
      ),
      this.#calls.open(fetched.filter(({ data }) => isTicket(data)))
    ])
    const fresh = fetched.flatMap(({ data }) => (data === null || isTicket(data) ? [] : [data as WaitingJob]))
    // Its class has no room although its pool had: it waits on in the pool.
    const back: QueueEntry[] = [...fresh, ...loaded]
      .filter((job) => !this.#placer.offer(job))
      .map((job) => aloneOf(entryOf(job)))
    for (const call of calls) {
      if (this.#calls.has(jobKey(call.job.id, call.job.epoch))) continue
      if (this.#placer.offerCall(call.job, call.times)) this.#calls.taken(call)
      else back.push(call.entry)
    }
    if (back.length > 0) await queue.add(back)
  }

  async #place(): Promise<boolean> {
    const decisions = this.#placer.decide(CLAIM_LIMIT)
    if (decisions.length === 0) return false
    const claims: Claim[] = []
    const taken = new Map<string, Decision>()
    for (const decision of decisions) {
      const { job, session, served } = decision
      const key = jobKey(job.id, job.epoch)
      if (session.running.has(key)) {
        // Delivered again since another scheduler sent it there; to give it back would free the slot that it is in.
        this.#placer.undo(session.deviceId, key)
        this.#placer.credits(session)
        continue
      }
      this.#fleet.hold(session.deviceId, key, slotOf(job.kind))
      if (this.#calls.has(key)) {
        this.#calls.placed(key, { deviceId: session.deviceId, session: session.session })
        void this.#sendCall(key, decision)
        continue
      }
      taken.set(key, decision)
      claims.push({
        id: job.id,
        epoch: job.epoch,
        deviceId: session.deviceId,
        session: session.session,
        variant: served?.variant ?? null,
        runtime: served?.runtime ?? null,
        leaseMs: job.kind === 'conversion' ? CONVERSION_LEASE_MS : INFERENCE_LEASE_MS
      })
    }
    if (claims.length === 0) return true
    if (this.#fence === null) throw new Error('the dispatcher was not started')
    let rows: ClaimedJob[]
    try {
      rows = await claimJobs(this.#resources.registry.pool, claims, this.#fence)
    } catch (error) {
      for (const [key, decision] of taken) {
        this.#putBack(decision.session.deviceId, key)
        this.#placer.retake(decision)
      }
      throw error
    }
    const claimedAtMs = this.#resources.nowMs()
    for (const row of rows) {
      const key = jobKey(row.id, row.epoch)
      const decision = taken.get(key)
      taken.delete(key)
      if (decision !== undefined) this.#send(row, decision, claimedAtMs)
    }
    // Not returned: cancelled, expired, or delivered twice. Whoever changed the row has seen to the rest.
    for (const [key, { session }] of taken) this.#putBack(session.deviceId, key)
    return true
  }

  async #sendCall(key: string, { session: { deviceId, session }, served }: Decision): Promise<void> {
    const claimedAtMs = this.#resources.nowMs()
    try {
      const assignment = await this.#calls.assignment(key)
      const current = this.#fleet.current(deviceId, session)
      if (assignment !== null && current !== undefined) {
        const call = assignment.route(served?.variant ?? null)
        current.link.send(assignment.frame(served?.artifact ?? ''), assignment.body, { claimedAtMs, call })
        return
      }
    } catch (error) {
      this.#resources.log.warn({ err: error }, 'a call could not be sent to its device; it is tried again')
    }
    this.#calls.lost([key], 'it was not sent')
    this.#putBack(deviceId, key)
    this.pump()
  }

  #putBack(deviceId: string, key: string): void {
    this.#placer.undo(deviceId, key)
    this.#fleet.release(deviceId, key)
  }

  #send(row: ClaimedJob, { session: chosen, served }: Decision, claimedAtMs: number): void {
    const session = this.#fleet.current(chosen.deviceId, row.session ?? -1)
    // The device left between claim and frame: its lease, or its next hello, brings the job back.
    if (session === undefined) return
    const work = workOf(row, served)
    session.link.send({ type: 'assign', jobId: row.id, epoch: row.epoch, work }, bodyOf(row), { claimedAtMs })
    const { queueMs, dispatchMs } = this.#resources.metrics
    queueMs.observe({ kind: row.kind }, row.queue_ms)
    dispatchMs.observe({ kind: row.kind }, this.#resources.nowMs() - claimedAtMs)
  }
}

function workOf(row: ClaimedJob, served: Decision['served']): WorkPayload {
  if (row.kind !== 'inference') return row.payload as WorkPayload
  const { inputs, outputs } = row.payload as InferencePayload
  return { kind: 'inference', deployment: row.deployment ?? '', artifact: served?.artifact ?? '', inputs, outputs }
}

const bodyOf = (row: ClaimedJob): Uint8Array[] =>
  row.kind !== 'inference' || row.inputs === null || row.inputs.length === 0 ? [] : [row.inputs]
