/** A difference beyond this is no delay of an answer: one of the two clocks was set. */
const SET_MS = 1_000

/**
 * Postgres's clock by our own. Postgres decides what has expired, so that its times count; each answer that tells its
 * time shows how far the two are apart, give or take the answer's way, and the shortest way so far is the best reading.
 */
export class ServerClock {
  #aheadMs: number | null = null

  /** `serverMs` is the time that an answer told which came at `nowMs`. */
  observe(serverMs: number, nowMs: number): void {
    const aheadMs = nowMs - serverMs
    const known = this.#aheadMs
    if (known === null || aheadMs < known || aheadMs - known > SET_MS) this.#aheadMs = aheadMs
  }

  /** What time it is there at that time of ours. */
  toServer(localMs: number): number {
    return localMs - (this.#aheadMs ?? 0)
  }

  /** When it is that time there, by our clock. */
  toLocal(serverMs: number): number {
    return serverMs + (this.#aheadMs ?? 0)
  }
}
