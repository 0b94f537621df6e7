import { CONVERSION_LEASE_MS, INFERENCE_LEASE_MS } from '@skerry/contracts'
import {
  type EndedEarly,
  expireJobs,
  findJob,
  goneWithJobs,
  graceLeases,
  leaseExpired,
  type QueuedJob,
  queuedAfter,
  retire,
  writeExplanation
} from '@skerry/registry'
import type { Fleet } from '../devices/fleet.ts'
import { RepeatingTasks } from '../repeating-tasks.ts'
import type { EngineResources } from '../resources.ts'
import type { Explanations } from '../scheduling/explanations.ts'
import type { Completion } from './completion.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { EarlyEnds } from './early-ends.ts'
import { aloneOf, type Outbox } from './outbox.ts'
import { poolsInUse } from './pools-in-use.ts'

const PAGE = 2_000
/** Younger rows are on their way through the outbox. */
const UNDER_WAY_MS = 2_000
/** Of the jobs that expire in one sweep; an explanation reads the whole fleet. */
const EXPLAINED_AT_ONCE = 20
/** What was taken out of a pool before that and is still not acknowledged was lost with a connection. */
const FETCHED_WITHIN_MS = 5_000

/**
 * Sees to it that every job ends, whoever died: expiry, leases, and rows that BullMQ does not know. At the replica that
 * schedules, for all.
 */
export class Sweeper {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #dispatcher: Dispatcher
  readonly #completion: Completion
  readonly #outbox: Outbox
  readonly #earlyEnds: EarlyEnds
  readonly #explanations: Explanations
  readonly #tasks: RepeatingTasks

  constructor(
    resources: EngineResources,
    parts: {
      fleet: Fleet
      dispatcher: Dispatcher
      completion: Completion
      outbox: Outbox
      earlyEnds: EarlyEnds
      explanations: Explanations
    }
  ) {
    this.#resources = resources
    this.#fleet = parts.fleet
    this.#dispatcher = parts.dispatcher
    this.#completion = parts.completion
    this.#outbox = parts.outbox
    this.#earlyEnds = parts.earlyEnds
    this.#explanations = parts.explanations
    this.#tasks = new RepeatingTasks(resources.log)
  }

  /** Before the dispatcher starts: what was left half-way is put right. `unheard`: nobody held leases. */
  async start(unheard: boolean, onReplicasGone: (replicas: string[]) => void): Promise<void> {
    const { registry, queue } = this.#resources
    if (unheard) await graceLeases(registry.pool, INFERENCE_LEASE_MS, CONVERSION_LEASE_MS)
    for (const pool of await poolsInUse(registry)) await queue.dropUnacknowledged(pool)
    await queue.checkServer()
    await this.sweepQueued()
    this.#tasks.every(1_000, () => this.#expire())
    this.#tasks.every(1_000, () => this.#checkServer())
    this.#tasks.every(2_000, async () => {
      const gone = await registry.replicas.dropStale(this.#resources.bus.id)
      if (gone.length > 0) onReplicasGone(gone)
    })
    this.#tasks.every(10_000, () => this.sweepQueued(UNDER_WAY_MS))
    this.#tasks.every(10_000, async () => {
      for (const deployment of await goneWithJobs(registry.pool)) await this.#earlyEnds.failJobsOf(deployment)
    })
    this.#tasks.every(3_600_000, async () => void (await retire(registry.pool)))
  }

  stop(): Promise<void> {
    return this.#tasks.stop()
  }

  /** Every queued row of that age that neither BullMQ nor the scheduler's memory holds is added again. */
  async sweepQueued(olderThanMs = 0): Promise<void> {
    const { registry, queue } = this.#resources
    const pools = await poolsInUse(registry)
    for (const pool of pools) await queue.dropUnacknowledged(pool, FETCHED_WITHIN_MS)
    this.#dispatcher.know(pools)
    let after: string | null = null
    for (;;) {
      const page: QueuedJob[] = await queuedAfter(registry.pool, after, PAGE, olderThanMs)
      if (page.length === 0) return
      const loose = page.filter((job) => !this.#dispatcher.holds(job.id, job.epoch))
      const present = await queue.present(loose)
      // Of what waits there the wake-up may have been lost.
      for (const pool of new Set(loose.filter((job) => present.has(job.id)).map((job) => job.pool)))
        this.#dispatcher.wake(pool)
      await this.#readd(loose.filter((job) => !present.has(job.id)))
      after = page.at(-1)?.id ?? null
      if (page.length < PAGE) return
    }
  }

  async #readd(jobs: QueuedJob[]): Promise<void> {
    if (jobs.length === 0) return
    await this.#outbox.deliver(jobs.map(aloneOf))
    this.#resources.metrics.sweepReadds.inc(jobs.length)
    this.#resources.log.info({ jobs: jobs.length }, 'queued jobs added to the queue again')
  }

  async #checkServer(): Promise<void> {
    if (await this.#resources.queue.checkServer()) return
    this.#resources.log.warn({}, 'the queue server was restarted or flushed; sweeping all queued jobs')
    await this.sweepQueued()
  }

  async #expire(): Promise<void> {
    const expired = await expireJobs(this.#resources.registry.pool)
    this.#earlyEnds.ended(expired, 'expired')
    for (const job of await leaseExpired(this.#resources.registry.pool)) {
      const error = {
        code: 'device-lost',
        message: `Device ${job.device_id} was not heard from while its lease lasted`
      }
      await this.#completion.giveBack(
        { id: job.id, epoch: job.epoch, deviceId: job.device_id, error, killedRuntime: false },
        job.kind
      )
      this.#cancel(job.device_id, job.id, job.epoch)
    }
    // Last, since it may have to wait for others' explanations.
    for (const job of expired.filter((each) => !each.was_running).slice(0, EXPLAINED_AT_ONCE))
      await this.#explain(job.id)
  }

  /** Why it was never placed is kept with it: later the fleet will look otherwise. */
  async #explain(id: string): Promise<void> {
    const { log, registry } = this.#resources
    try {
      const row = await findJob(registry.pool, id)
      if (row !== null) await writeExplanation(registry.pool, id, await this.#explanations.recent(row))
    } catch (error) {
      log.warn({ err: error, job: id }, 'why a job was never placed could not be kept')
    }
  }

  /** The rows have ended; what still runs on a device is told to stop, and keeps its slot until it says it did. */
  endedEarly(jobs: EndedEarly[]): void {
    const waiting = jobs.filter((job) => !job.was_running && !this.#dispatcher.holds(job.id, job.epoch))
    // What is fetched meanwhile fails its claim.
    this.#resources.queue
      .remove(waiting)
      .catch((error) => this.#resources.log.warn({ err: error }, 'jobs that ended are in the queue still'))
    for (const job of jobs) {
      this.#dispatcher.forget(job.id, job.epoch)
      if (job.was_running && job.device_id !== null) this.#cancel(job.device_id, job.id, job.epoch)
    }
  }

  /** The replica that holds the device's socket answers at once when the job never came there. */
  #cancel(deviceId: string, jobId: string, epoch: number): void {
    this.#fleet.get(deviceId)?.link.send({ type: 'cancel', jobId, epoch })
  }
}
