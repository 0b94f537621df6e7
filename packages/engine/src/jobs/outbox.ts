import type { QueueEntry } from '@skerry/queue'
import type { WaitingJob } from '@skerry/registry'
import type { EngineResources } from '../resources.ts'

/** A row that was just written, with all that the scheduler goes by: it need not be read again to be placed. */
export const entryOf = (job: WaitingJob): QueueEntry => ({
  id: job.id,
  epoch: job.epoch,
  pool: job.pool,
  priority: job.priority,
  bundle: job.bundle ?? null,
  data: job
})

/** The same on its own: what it was bundled with goes another way. */
export const aloneOf = (entry: QueueEntry): QueueEntry => ({ ...entry, bundle: null })

/** Beyond this many jobs waiting to be handed to BullMQ (it is down, or slow) the rows wait for the sweep instead. */
const MAX_BACKLOG = 20_000
const BATCH = 1_000

/**
 * From the rows to BullMQ. A submitted job is durable once its row is; handing it over runs behind the answer, in batches, and
 * what is lost on the way is found by the sweep, which compares the queued rows with what BullMQ and the scheduler hold.
 */
export class Outbox {
  readonly #resources: EngineResources
  readonly #wake: (pool: string) => void
  /** What was written together stays together: a bundle is delivered whole. */
  #backlog: (readonly QueueEntry[])[] = []
  #waiting = 0
  #running: Promise<void> | null = null

  constructor(resources: EngineResources, wake: (pool: string) => void) {
    this.#resources = resources
    this.#wake = wake
  }

  enqueue(jobs: readonly QueueEntry[]): void {
    if (jobs.length === 0 || this.#waiting + jobs.length > MAX_BACKLOG) return
    this.#backlog.push(jobs)
    this.#waiting += jobs.length
    this.#running ??= this.#drain()
  }

  async #drain(): Promise<void> {
    // Jobs that arrive in the same turn share the first round trip.
    await new Promise((resolve) => setImmediate(resolve))
    while (this.#backlog.length > 0) {
      const batch = this.#take()
      try {
        await this.deliver(batch)
      } catch (error) {
        this.#resources.log.warn({ err: error, jobs: batch.length }, 'jobs not handed over; the sweep will')
      }
    }
    // In the same turn as the check above, or a job that arrives in between would wait for the next one.
    this.#running = null
  }

  #take(): QueueEntry[] {
    const batch: QueueEntry[] = []
    while (batch.length < BATCH) {
      const jobs = this.#backlog.shift()
      if (jobs === undefined) break
      batch.push(...jobs)
    }
    this.#waiting -= batch.length
    return batch
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
