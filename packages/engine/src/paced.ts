/** A task rests so many times as long as it took, so that it never takes more than a fifth of the time. */
const REST = 4

/**
 * Runs a task for all that is due by then, one run after the other. What is due again and again while many devices change,
 * and costs the more the more devices there are, is joined by its own cost.
 */
export class Paced {
  readonly #run: (due: string[]) => Promise<void>
  readonly #nowMs: () => number
  #due = new Set<string>()
  #running: Promise<void> | null = null
  #timer: NodeJS.Timeout | undefined
  #notBeforeMs = Number.NEGATIVE_INFINITY
  #isUrgent = false
  #stopped = false

  /** `run` sees to its own errors. */
  constructor(run: (due: string[]) => Promise<void>, nowMs: () => number) {
    this.#run = run
    this.#nowMs = nowMs
  }

  add(name: string): void {
    this.#due.add(name)
    this.#begin()
  }

  /** Without the rest that is due. */
  hurry(name: string): void {
    this.#due.add(name)
    this.#isUrgent = true
    this.#begin()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#running
  }

  #begin(): void {
    if (this.#stopped || this.#running !== null || this.#due.size === 0) return
    const waitMs = this.#isUrgent ? 0 : this.#notBeforeMs - this.#nowMs()
    clearTimeout(this.#timer)
    if (waitMs > 0) {
      this.#timer = setTimeout(() => this.#begin(), waitMs)
      return
    }
    const due = [...this.#due]
    this.#due = new Set()
    this.#isUrgent = false
    const startedMs = this.#nowMs()
    this.#running = this.#run(due).finally(() => {
      const nowMs = this.#nowMs()
      this.#notBeforeMs = nowMs + REST * (nowMs - startedMs)
      this.#running = null
      this.#begin()
    })
  }
}
