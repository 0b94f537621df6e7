import { CONVERSION_POOL, isDevicePool } from './pools.ts'

/**
 * Which pools to look into next. A wake-up can be lost with a connection, so all pools are polled now and then; those that
 * were woken go first, because a poll is a round trip for nothing for almost all of them.
 */
export class PoolWatch {
  readonly #known = new Set<string>([CONVERSION_POOL])
  readonly #woken = new Set<string>()
  readonly #polled = new Set<string>()

  /** Something may wait there. */
  wake(pool: string): void {
    this.#known.add(pool)
    this.#woken.add(pool)
  }

  pollAll(): void {
    for (const pool of this.#known) this.#polled.add(pool)
  }

  /**
   * At most `limit` pools that have room. They are looked into from here on: a wake-up that comes meanwhile may be for what
   * the look misses, and brings them back. One without room stays until some of it was placed.
   */
  take(limit: number, hasRoom: (pool: string) => boolean): string[] {
    const taken = new Set<string>()
    for (const pools of [this.#woken, this.#polled])
      for (const pool of pools) {
        if (taken.size >= limit) break
        if (hasRoom(pool)) taken.add(pool)
      }
    for (const pool of taken) {
      this.#woken.delete(pool)
      this.#polled.delete(pool)
    }
    return [...taken]
  }

  knows(pool: string): boolean {
    return this.#known.has(pool)
  }

  /**
   * True when it is polled no more: there are as many pools of devices as devices, a poll of all would grow with them, and
   * the sweep finds what is lost there.
   */
  foundEmpty(pool: string): boolean {
    return isDevicePool(pool) && !this.#woken.has(pool) && this.#known.delete(pool)
  }

  forget(pool: string): void {
    for (const pools of [this.#known, this.#woken, this.#polled]) pools.delete(pool)
  }
}
