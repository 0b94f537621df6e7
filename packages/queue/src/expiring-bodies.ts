import type { Redis } from 'ioredis'

/** Bytes that are kept under an id for a while, for whichever replica asks in time. Commands of one turn leave in one write. */
export class ExpiringBodies {
  readonly #redis: Redis
  readonly #prefix: string

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis
    this.#prefix = prefix
  }

  async put(id: string, body: Uint8Array, ttlMs: number): Promise<void> {
    const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
    await this.#redis.set(this.#key(id), bytes, 'PX', Math.max(1, Math.ceil(ttlMs)))
  }

  /** Null once its time is over. */
  get(id: string): Promise<Buffer | null> {
    return this.#redis.getBuffer(this.#key(id))
  }

  /** How many milliseconds each has left by the server's clock, which all replicas share; 0 where it is gone. */
  async remainingMs(ids: readonly string[]): Promise<number[]> {
    const left = await Promise.all(ids.map((id) => this.#redis.pttl(this.#key(id))))
    return left.map((ms) => Math.max(0, ms))
  }

  async drop(id: string): Promise<void> {
    await this.#redis.unlink(this.#key(id))
  }

  #key(id: string): string {
    return `${this.#prefix}${id}`
  }
}
