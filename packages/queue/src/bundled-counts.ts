import type { Redis } from 'ioredis'
import type { Parcel } from './bundles.ts'

/**
 * By how many the entries that wait in a pool are more than BullMQ's jobs there, because bundles hold several. A figure for
 * backpressure, not a promise: what a crash leaves wrong is put right when the pool is found empty.
 */
export class BundledCounts {
  readonly #redis: Redis
  readonly #key: string

  constructor(redis: Redis, key: string) {
    this.#redis = redis
    this.#key = key
  }

  added(pool: string, parcels: readonly Parcel[]): void {
    this.#change(
      pool,
      parcels.reduce((sum, { size }) => sum + size - 1, 0)
    )
  }

  taken(pool: string, more: number): void {
    this.#change(pool, -more)
  }

  /** Below zero for a moment where some were taken before they were counted. */
  async of(pool: string): Promise<number> {
    return Number((await this.#redis.hget(this.#key, pool)) ?? 0)
  }

  async forget(pool: string): Promise<void> {
    await this.#redis.hdel(this.#key, pool)
  }

  #change(pool: string, by: number): void {
    // Nobody waits for it, and what is lost with a connection is found like what a crash left.
    if (by !== 0) this.#redis.hincrby(this.#key, pool, by).catch(() => undefined)
  }
}
