import type { WaitingWork } from './work.ts'

/** Work that waits in the scheduler's memory, by job, and how much of it is of each pool. */
export class HeldWorks {
  readonly #byKey = new Map<string, WaitingWork>()
  readonly #countByPool = new Map<string, number>()

  has(key: string): boolean {
    return this.#byKey.has(key)
  }

  get(key: string): WaitingWork | undefined {
    return this.#byKey.get(key)
  }

  ofPool(pool: string): WaitingWork[] {
    return this.countOf(pool) === 0 ? [] : [...this.#byKey.values()].filter((work) => work.job.pool === pool)
  }

  countOf(pool: string): number {
    return this.#countByPool.get(pool) ?? 0
  }

  add(work: WaitingWork): void {
    const { pool } = work.job
    this.#byKey.set(work.id, work)
    this.#countByPool.set(pool, this.countOf(pool) + 1)
  }

  /** Of what is held. */
  take(work: WaitingWork): void {
    const { pool } = work.job
    if (!this.#byKey.delete(work.id)) return
    const left = this.countOf(pool) - 1
    if (left > 0) this.#countByPool.set(pool, left)
    else this.#countByPool.delete(pool)
  }
}
