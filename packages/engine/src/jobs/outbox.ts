import { markEnqueued, type QueuedJob } from '@skerry/registry'
import type { EngineResources } from '../resources.ts'

/** Beyond this many jobs waiting to be handed to BullMQ (it is down, or slow) the rows wait for the sweep instead. */
const MAX_BACKLOG = 20_000

/**
 * From the rows to BullMQ. A submitted job is durable once its row is; handing it over runs behind the answer, in batches,
 * and what is lost on the way is found by the sweep, because its row still has no `enqueued_at`.
 */
export class Outbox {
  readonly #resources: EngineResources
  readonly #wake: (pool: string) => void
  #backlog: QueuedJob[] = []
  #running: Promise<void> | null = null

  constructor(resources: EngineResources, wake: (pool: string) => void) {
    this.#resources = resources
    this.#wake = wake
  }

  enqueue(jobs: readonly QueuedJob[]): void {
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

  /** Adds to BullMQ, wakes the scheduler, then marks the rows. */
  async deliver(jobs: readonly QueuedJob[]): Promise<void> {
    await this.#resources.queue.add(jobs)
    for (const pool of new Set(jobs.map((job) => job.pool))) this.#wake(pool)
    await markEnqueued(this.#resources.registry.pool, [...jobs])
  }

  async idle(): Promise<void> {
    await this.#running
  }
}
