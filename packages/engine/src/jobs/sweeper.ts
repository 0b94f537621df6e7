import { CONVERSION_LEASE_MS, INFERENCE_LEASE_MS, OFFLINE_AFTER_MS } from '@skerry/contracts'
import {
  cancelJob,
  dueForQueue,
  type EndedEarly,
  expireJobs,
  failDeployment,
  graceLeases,
  leaseExpired,
  openPools,
  type QueuedJob,
  queuedAfter,
  renewLeases,
  retire
} from '@skerry/registry'
import { type Fleet, jobKey } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { Completion } from './completion.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { Outbox } from './outbox.ts'

const PAGE = 2_000
/** Younger rows are on their way through the outbox. */
const DUE_AFTER_MS = 2_000

/** Sees to it that every job ends, whoever died: expiry, leases, and rows that BullMQ does not know. */
export class Sweeper {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #dispatcher: Dispatcher
  readonly #completion: Completion
  readonly #outbox: Outbox
  readonly #timers: NodeJS.Timeout[] = []
  readonly #running = new Set<Promise<void>>()

  constructor(
    resources: EngineResources,
    fleet: Fleet,
    dispatcher: Dispatcher,
    completion: Completion,
    outbox: Outbox
  ) {
    this.#resources = resources
    this.#fleet = fleet
    this.#dispatcher = dispatcher
    this.#completion = completion
    this.#outbox = outbox
  }

  /** Before the dispatcher starts: what the last run left half-way is put right. */
  async start(): Promise<void> {
    const { registry, queue } = this.#resources
    await graceLeases(registry.pool, INFERENCE_LEASE_MS, CONVERSION_LEASE_MS)
    for (const pool of await openPools(registry.pool)) await queue.dropUnacknowledged(pool)
    await queue.checkServer()
    await this.sweepQueued()
    this.#every(1_000, () => this.#expire())
    this.#every(1_000, () => this.#checkServer())
    this.#every(2_000, () => registry.devices.writeHealth(this.#fleet.takeHealth()))
    this.#every(5_000, () => this.#renew())
    this.#every(10_000, () => this.sweepQueued())
    this.#every(10_000, () => this.#sweepDue())
    this.#every(3_600_000, async () => void (await retire(registry.pool)))
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    await Promise.all(this.#running)
  }

  #every(periodMs: number, task: () => Promise<void>): void {
    let busy = false
    const timer = setInterval(() => {
      if (busy) return
      busy = true
      const run = task()
        .catch((error) => this.#resources.log.error({ err: error }, 'a sweep failed; it runs again'))
        .finally(() => {
          busy = false
          this.#running.delete(run)
        })
      this.#running.add(run)
    }, periodMs)
    this.#timers.push(timer)
  }

  /** Every queued row that neither BullMQ nor the scheduler's memory holds is added again. */
  async sweepQueued(): Promise<void> {
    let after: string | null = null
    for (;;) {
      const page: QueuedJob[] = await queuedAfter(this.#resources.registry.pool, after, PAGE)
      if (page.length === 0) return
      const present = await this.#resources.queue.present(page)
      await this.#readd(page.filter((job) => !present.has(job.id) && !this.#dispatcher.holds(job.id, job.epoch)))
      after = page.at(-1)?.id ?? null
      if (page.length < PAGE) return
    }
  }

  async #sweepDue(): Promise<void> {
    await this.#readd(await dueForQueue(this.#resources.registry.pool, DUE_AFTER_MS, PAGE))
  }

  async #readd(jobs: QueuedJob[]): Promise<void> {
    if (jobs.length === 0) return
    await this.#outbox.deliver(jobs)
    this.#resources.metrics.sweepReadds.inc(jobs.length)
    this.#resources.log.info({ jobs: jobs.length }, 'queued jobs added to the queue again')
  }

  async #checkServer(): Promise<void> {
    if (await this.#resources.queue.checkServer()) return
    this.#resources.log.warn({}, 'the queue server was restarted or flushed; sweeping all queued jobs')
    await this.sweepQueued()
  }

  async #renew(): Promise<void> {
    const nowMs = this.#resources.nowMs()
    const live: { deviceId: string; session: number }[] = []
    for (const session of this.#fleet.all())
      if (nowMs - session.lastHeardAtMs > OFFLINE_AFTER_MS) session.link.close('nothing was heard from the device')
      else live.push({ deviceId: session.deviceId, session: session.session })
    await renewLeases(this.#resources.registry.pool, live, INFERENCE_LEASE_MS, CONVERSION_LEASE_MS)
  }

  async #expire(): Promise<void> {
    this.#endedEarly(await expireJobs(this.#resources.registry.pool), 'expired')
    for (const job of await leaseExpired(this.#resources.registry.pool)) {
      const error = {
        code: 'device-lost',
        message: `Device ${job.device_id} was not heard from while its lease lasted`
      }
      await this.#completion.giveBack(
        { id: job.id, epoch: job.epoch, deviceId: job.device_id, error, killedRuntime: false },
        job.kind
      )
    }
  }

  /** Cancels one job; false when it had ended. */
  async cancel(id: string): Promise<boolean> {
    const ended = await cancelJob(this.#resources.registry.pool, id)
    if (ended === null) return false
    this.#endedEarly([ended], 'cancelled')
    return true
  }

  async failJobsOf(deployment: string): Promise<void> {
    this.#endedEarly(await failDeployment(this.#resources.registry.pool, deployment), 'failed')
  }

  /** The rows have ended; what still runs on a device is told to stop, and keeps its slot until it says it did. */
  #endedEarly(jobs: EndedEarly[], state: string): void {
    for (const job of jobs) {
      this.#dispatcher.forget(job.id, job.epoch)
      this.#dispatcher.inFlight.delete(jobKey(job.id, job.epoch))
      if (job.was_running && job.device_id !== null)
        this.#fleet.get(job.device_id)?.link.send({ type: 'cancel', jobId: job.id, epoch: job.epoch })
      this.#completion.ended({ id: job.id, kind: job.kind, state })
    }
  }
}
