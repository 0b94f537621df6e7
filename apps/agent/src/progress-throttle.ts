import type { JobProgress } from '@skerry/contracts'

/** Passes on at most one report per interval: the first at once, then the latest. */
export class ProgressThrottle {
  readonly #intervalMs: number
  readonly #send: (progress: JobProgress) => void
  #timer: NodeJS.Timeout | null = null
  #latest: JobProgress | null = null
  #ended = false

  constructor(intervalMs: number, send: (progress: JobProgress) => void) {
    this.#intervalMs = intervalMs
    this.#send = send
  }

  report(progress: JobProgress): void {
    if (this.#ended) return
    this.#latest = progress
    if (this.#timer === null) this.#pass()
  }

  /** Nothing is sent after this: the result says more than the last report. */
  end(): void {
    this.#ended = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #pass(): void {
    if (this.#latest === null) return
    this.#send(this.#latest)
    this.#latest = null
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#pass()
    }, this.#intervalMs)
  }
}
