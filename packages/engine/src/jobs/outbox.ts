import type { QueueEntry } from '@skerry/queue'
import type { WaitingJob } from '@skerry/registry'
import type { EngineResources } from '../resources.ts'

/** A row that was just written, with all that the scheduler goes by: it need not be read again to be placed. */
export const entryOf = (job: WaitingJob): QueueEntry => ({
  ...{ id: job.id, epoch: job.epoch, pool: job.pool, priority: job.priority },
  data: job
})

/** Beyond this many jobs waiting to be handed to BullMQ (it is down, or slow) the rows wait for the sweep instead. */
const MAX_BACKLOG = 20_000

/**
 * From the rows to BullMQ. A submitted job is durable once its row is; handing it over runs behind the answer, in batches, and
 * what is lost on the way is found by the sweep, which compares the queued rows with what BullMQ and the scheduler hold.
 */
export class Outbox {
  readonly #resources: EngineResources
  readonly #wake: (pool: string) => void
  #backlog: QueueEntry[] = []
  #running: Promise<void> | null = null

  constructor(resources: EngineResources, wake: (pool: string) => void) {
    this.#resources = resources
    this.#wake = wake
  }

  enqueue(jobs: readonly QueueEntry[]): void {
    if (this.#backlog.length + jobs.length > MAX_BACKLOG) return
    this.#backlog.push(...jobs)
    this.#running ??= this.#drain()
  }

  async #drain(): Promise<void> {
    // Jobs that arrive in the same turn share the first round trip.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#backlog.length > 0) {
      const batch = this.#backlog.splice(0, 1_000)
      try {
        await this.deliver(batch)
      } catch (error) {
        this.#resources.log.warn({ err: error, jobs: batch.length }, 'jobs not handed over; the sweep will')
      }
    }
    // In the same turn as the check above, or a job that arrives in between would wait for the next one.
    this.#running = null
  }

  /** Adds to BullMQ, then wakes the scheduler. */
  async deliver(jobs: readonly QueueEntry[]): Promise<void> {
    await this.#resources.queue.add(jobs)
    for (const pool of new Set(jobs.map((job) => job.pool))) this.#wake(pool)
  }

  async idle(): Promise<void> {
    await this.#running
  }
}
