import { type CallRecord, insertCallRecords } from '@skerry/registry'
import type { EngineResources } from '../resources.ts'

const WRITE_EVERY_MS = 250
const AT_ONCE = 500
/** While Postgres is away; beyond it the oldest go. */
const MAX_KEPT = 20_000

/**
 * Rows of calls that have ended, written behind the answers and in batches: they are for looking back, and the last of
 * them are lost when the process is killed.
 */
export class CallAccounts {
  readonly #resources: EngineResources
  #kept: CallRecord[] = []
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  constructor(resources: EngineResources) {
    this.#resources = resources
  }

  add(record: CallRecord): void {
    this.#kept.push(record)
    if (this.#kept.length > MAX_KEPT) {
      this.#kept.shift()
      this.#resources.metrics.callRecordsDropped.inc()
    }
    this.#timer ??= setTimeout(() => this.#flush(), WRITE_EVERY_MS)
  }

  /** Writes what there is. */
  async stop(): Promise<void> {
    this.#flush()
    await this.#writing
    clearTimeout(this.#timer)
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing = this.#writing.then(() => this.#write())
  }

  async #write(): Promise<void> {
    while (this.#kept.length > 0) {
      const batch = this.#kept.splice(0, AT_ONCE)
      try {
        await insertCallRecords(this.#resources.registry.pool, batch)
      } catch (error) {
        this.#kept.unshift(...batch)
        this.#resources.log.warn({ err: error, calls: this.#kept.length }, 'records of calls are not written yet')
        this.#timer ??= setTimeout(() => this.#flush(), WRITE_EVERY_MS * 4)
        return
      }
    }
  }
}
