/**
 * Exponential backoff with full jitter: anything from 0 to a ceiling that doubles with each attempt, so that a fleet
 * that lost its control plane does not come back in one moment.
 */
export class Backoff {
  #attempt = 0
  readonly #random: () => number
  readonly #firstMs: number
  readonly #longestMs: number

  constructor(random: () => number, firstMs: number, longestMs: number) {
    this.#random = random
    this.#firstMs = firstMs
    this.#longestMs = longestMs
  }

  nextMs(): number {
    const ceilingMs = Math.min(this.#longestMs, this.#firstMs * 2 ** Math.min(this.#attempt, 30))
    this.#attempt++
    return Math.round(this.#random() * ceilingMs)
  }

  /** For an answer that will not change soon: the next waits start near the longest. */
  slowDown(): void {
    this.#attempt = Math.max(this.#attempt, Math.ceil(Math.log2(this.#longestMs / this.#firstMs)))
  }

  reset(): void {
    this.#attempt = 0
  }
}
