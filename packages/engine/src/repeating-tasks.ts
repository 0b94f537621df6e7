import type { Logger } from './resources.ts'

/** Tasks that run again and again until they are stopped; none overlaps itself, and one that fails runs again. */
export class RepeatingTasks {
  readonly #log: Logger
  readonly #timers: NodeJS.Timeout[] = []
  readonly #running = new Set<Promise<void>>()

  constructor(log: Logger) {
    this.#log = log
  }

  every(periodMs: number, task: () => Promise<void>): void {
    let busy = false
    const timer = setInterval(() => {
      if (busy) return
      busy = true
      const run = task()
        .catch((error) => this.#log.error({ err: error }, 'a sweep failed; it runs again'))
        .finally(() => {
          busy = false
          this.#running.delete(run)
        })
      this.#running.add(run)
    }, periodMs)
    this.#timers.push(timer)
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers.splice(0)) clearInterval(timer)
    await Promise.all(this.#running)
  }
}
