import { CONVERSION_LEASE_MS, type ControlFrame, INFERENCE_LEASE_MS } from '@skerry/contracts'
import {
  type Claim,
  claimJobs,
  type Fence,
  type InferencePayload,
  type JobRow,
  loadWaiting,
  openPools,
  type WaitingJob
} from '@skerry/registry'
import { type Assignment, assign, type SchedulableJob, slotKind } from '@skerry/scheduler'
import { type Fleet, jobKey } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'

export const CONVERSION_POOL = 'conversion'
/** Work that names its device has a pool of its own, so that it holds up nobody while that device is busy or away. */
export const devicePool = (deviceId: string): string => `device-${deviceId}`
export const deploymentPool = (deployment: string): string => `deployment-${deployment}`

const MAX_WAITING = 5_000
const FETCH_LIMIT = 256
const POLL_MS = 2_000

export type InFlight = { claimedAtMs: number; sentAtMs: number }
type Entry = WaitingJob & SchedulableJob

/** The terms of a conversion or benchmark, as they are stored in a job's payload. */
export type WorkPayload = Extract<ControlFrame, { type: 'assign' }>['work']

/**
 * Takes job ids out of the pools, claims rows for devices that are free now, and sends them.
 *
 *   BullMQ pool --fetch--> waiting (memory, ordered) --assign--> claim in Postgres --> frame to the device
 *                             ^ a job that no free device may run stays here
 */
export class Dispatcher {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly inFlight = new Map<string, InFlight>()
  #waiting: Entry[] = []
  readonly #waitingKeys = new Set<string>()
  readonly #pools = new Set<string>([CONVERSION_POOL])
  readonly #dirty = new Set<string>()
  #pumping: Promise<void> | null = null
  #again = false
  #timer: NodeJS.Timeout | undefined
  #stopped = true
  #fence: Fence | null = null

  constructor(resources: EngineResources, fleet: Fleet) {
    this.#resources = resources
    this.#fleet = fleet
  }

  /** Claims nothing once `fence` no longer holds. */
  async start(fence: Fence): Promise<void> {
    this.#stopped = false
    this.#fence = fence
    for (const pool of await openPools(this.#resources.registry.pool)) this.#pools.add(pool)
    // A wake-up can be lost with a connection; the slow poll is the net below it.
    this.#timer = setInterval(() => this.wakeAll(), POLL_MS)
    this.wakeAll()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#pumping
  }

  /** The pools that were ever used here. */
  pools(): string[] {
    return [...this.#pools]
  }

  wake(pool: string): void {
    this.#pools.add(pool)
    this.#dirty.add(pool)
    this.pump()
  }

  wakeAll(): void {
    for (const pool of this.#pools) this.#dirty.add(pool)
    this.pump()
  }

  /** Held in memory here, so not lost although BullMQ no longer knows it. */
  holds(id: string, epoch: number): boolean {
    return this.#waitingKeys.has(jobKey(id, epoch))
  }

  forget(id: string, epoch: number): void {
    if (!this.#waitingKeys.delete(jobKey(id, epoch))) return
    this.#waiting = this.#waiting.filter((job) => job.id !== id || job.epoch !== epoch)
  }

  forgetPool(pool: string): void {
    this.#pools.delete(pool)
    this.#dirty.delete(pool)
    for (const job of this.#waiting) if (job.pool === pool) this.#waitingKeys.delete(jobKey(job.id, job.epoch))
    this.#waiting = this.#waiting.filter((job) => job.pool !== pool)
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
  }

  /** How many jobs of this pool the free slots could take now. */
  #demand(pool: string): number {
    let demand = 0
    for (const device of this.#fleet.snapshot()) {
      if (!device.accepts) continue
      if (pool === CONVERSION_POOL) demand += device.free.convert
      else if (pool === devicePool(device.id)) demand += device.free.infer + device.free.convert
      else if ([...device.ready.keys()].some((deployment) => deploymentPool(deployment) === pool))
        demand += device.free.infer
    }
    return demand
  }

  async #fetch(): Promise<void> {
    for (const pool of [...this.#dirty]) {
      const room = MAX_WAITING - this.#waiting.length
      const limit = Math.min(this.#demand(pool), room, FETCH_LIMIT)
      if (limit <= 0) continue
      // Before the fetch: a wake-up that comes while it runs is for jobs that it may have missed.
      this.#dirty.delete(pool)
      const fetched = await this.#resources.queue.fetch(pool, limit)
      if (fetched.length === limit) this.#dirty.add(pool)
      if (fetched.length === 0) continue
      for (const job of await loadWaiting(this.#resources.registry.pool, fetched)) this.#insert(job)
    }
  }

  #insert(job: WaitingJob): void {
    const key = jobKey(job.id, job.epoch)
    if (this.#waitingKeys.has(key)) return
    this.#waitingKeys.add(key)
    const entry = { ...job, targetDeviceId: job.target_device_id }
    const before = (a: Entry, b: Entry) => b.priority - a.priority || a.created_at.getTime() - b.created_at.getTime()
    let low = 0
    let high = this.#waiting.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (before(this.#waiting[middle] as Entry, entry) <= 0) low = middle + 1
      else high = middle
    }
    this.#waiting.splice(low, 0, entry)
  }

  async #place(): Promise<boolean> {
    const plan = assign(this.#waiting, this.#fleet.snapshot())
    if (plan.length === 0) return false
    const claims: Claim[] = []
    const taken = new Map<string, Assignment>()
    for (const assignment of plan) {
      const session = this.#fleet.get(assignment.deviceId)
      if (session === undefined) continue
      const key = jobKey(assignment.job.id, assignment.job.epoch)
      this.#fleet.hold(assignment.deviceId, key, slotKind(assignment.job.kind), this.#resources.nowMs())
      taken.set(key, assignment)
      claims.push({
        id: assignment.job.id,
        epoch: assignment.job.epoch,
        deviceId: assignment.deviceId,
        session: session.session,
        variant: assignment.served?.variant ?? null,
        runtime: assignment.served?.runtime ?? null,
        leaseMs: assignment.job.kind === 'conversion' ? CONVERSION_LEASE_MS : INFERENCE_LEASE_MS
      })
    }
    if (this.#fence === null) throw new Error('the dispatcher was not started')
    let rows: JobRow[]
    try {
      rows = await claimJobs(this.#resources.registry.pool, claims, this.#fence)
    } catch (error) {
      for (const [key, { deviceId }] of taken) this.#fleet.release(deviceId, key)
      throw error
    }
    const claimedAtMs = this.#resources.nowMs()
    this.#waiting = this.#waiting.filter((job) => !taken.has(jobKey(job.id, job.epoch)))
    for (const key of taken.keys()) this.#waitingKeys.delete(key)
    for (const row of rows) {
      const key = jobKey(row.id, row.epoch)
      const assignment = taken.get(key)
      taken.delete(key)
      if (assignment !== undefined) this.#send(row, assignment, claimedAtMs)
    }
    // Not returned: cancelled, expired, or delivered twice. Whoever changed the row has seen to the rest.
    for (const [key, { deviceId }] of taken) this.#fleet.release(deviceId, key)
    return true
  }

  #send(row: JobRow, assignment: Assignment, claimedAtMs: number): void {
    const session = this.#fleet.current(assignment.deviceId, row.session ?? -1)
    // The device left between claim and frame: its lease, or its next hello, brings the job back.
    if (session === undefined) return
    const { work, body } = this.#work(row, assignment)
    session.link.send({ type: 'assign', jobId: row.id, epoch: row.epoch, work }, body, claimedAtMs)
    const sentAtMs = this.#resources.nowMs()
    this.inFlight.set(jobKey(row.id, row.epoch), { claimedAtMs, sentAtMs })
    this.#resources.metrics.queueMs.observe(
      { kind: row.kind },
      (row.started_at?.getTime() ?? 0) - row.queued_at.getTime()
    )
    this.#resources.metrics.dispatchMs.observe({ kind: row.kind }, sentAtMs - claimedAtMs)
  }

  #work(row: JobRow, assignment: Assignment): { work: WorkPayload; body: Uint8Array[] } {
    if (row.kind !== 'inference') return { work: row.payload as WorkPayload, body: [] }
    const payload = row.payload as InferencePayload
    return {
      work: {
        kind: 'inference',
        deployment: row.deployment ?? '',
        artifact: assignment.served?.artifact ?? '',
        inputs: payload.inputs,
        outputs: payload.outputs
      },
      body: row.inputs === null || row.inputs.length === 0 ? [] : [row.inputs]
    }
  }
}
