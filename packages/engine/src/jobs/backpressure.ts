import { SkerryError } from '@skerry/contracts'
import type { EngineResources } from '../resources.ts'
import type { SubmissionGate } from './submission.ts'

const LOOK_AGAIN_MS = 200
const LEAST_RETRY_MS = 1_000
const MOST_RETRY_MS = 60_000
/** Over how long jobs that ended are counted, for the time that an overfull pool will take to drain. */
const RATE_MS = 10_000

/** What waited in a pool at the last look, and what was let in since. */
type Depth = { atMs: number; waiting: number; added: number; looking: Promise<void> | null }

/** Tells submitters to come later when more jobs wait in a pool than it is to hold. */
export class Backpressure implements SubmissionGate {
  readonly #resources: EngineResources
  readonly #limit: number
  readonly #depths = new Map<string, Depth>()
  #ended = 0
  #endedBefore = 0
  #windowFromMs: number

  constructor(resources: EngineResources, limit: number) {
    this.#resources = resources
    this.#limit = limit
    this.#windowFromMs = resources.nowMs()
  }

  noteEnded(): void {
    this.#turnWindow()
    this.#ended += 1
  }

  /** Throws `too-many-requests` with a time to retry after. */
  async check({ pool }: { pool: string }): Promise<void> {
    const depth = this.#depthOf(pool)
    // Only who would be refused by the last look waits for the next one.
    if (depth.looking !== null && depth.waiting + depth.added >= this.#limit) await depth.looking
    const waiting = depth.waiting + depth.added
    if (waiting < this.#limit) {
      // What is let in between two looks counts too.
      depth.added += 1
      return
    }
    const retryAfterMs = this.#retryAfterMs(waiting - this.#limit + 1)
    throw new SkerryError(
      'too-many-requests',
      `${waiting} jobs wait in ${pool}, which holds ${this.#limit}: try again in ${Math.ceil(retryAfterMs / 1000)} s`,
      { members: { retryAfterMs } }
    )
  }

  #depthOf(pool: string): Depth {
    let depth = this.#depths.get(pool)
    if (depth === undefined) {
      depth = { atMs: Number.NEGATIVE_INFINITY, waiting: Number.POSITIVE_INFINITY, added: 0, looking: null }
      this.#depths.set(pool, depth)
    }
    if (depth.looking === null && this.#resources.nowMs() - depth.atMs > LOOK_AGAIN_MS) {
      depth.looking = this.#look(pool, depth)
      // Told to whoever waits for it.
      depth.looking.catch(() => undefined)
    }
    return depth
  }

  async #look(pool: string, depth: Depth): Promise<void> {
    const before = depth.added
    try {
      depth.waiting = await this.#resources.queue.depth(pool)
      depth.added -= before
      depth.atMs = this.#resources.nowMs()
    } finally {
      depth.looking = null
    }
  }

  #retryAfterMs(over: number): number {
    this.#turnWindow()
    const perMs = Math.max(this.#ended, this.#endedBefore) / RATE_MS
    const drainMs = perMs === 0 ? MOST_RETRY_MS : over / perMs
    return Math.round(Math.min(MOST_RETRY_MS, Math.max(LEAST_RETRY_MS, drainMs)))
  }

  #turnWindow(): void {
    const nowMs = this.#resources.nowMs()
    if (nowMs - this.#windowFromMs < RATE_MS) return
    this.#endedBefore = nowMs - this.#windowFromMs < 2 * RATE_MS ? this.#ended : 0
    this.#ended = 0
    this.#windowFromMs = nowMs
  }
}
