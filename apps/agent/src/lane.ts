/** Who asks for a slot: the control plane's jobs, or programs on the device itself. */
export type Asker = 'job' | 'local'
type Waiting = { start: () => void }

/**
 * Slots of one kind of work. What comes while all are taken waits in the order in which it came; where jobs and local
 * requests wait both, they take turns, so that neither starves however many come of the other.
 */
export class Lane {
  #slots: number
  readonly #waiting: Record<Asker, Waiting[]> = { job: [], local: [] }
  readonly #idle = new Set<() => void>()
  #taken = 0
  #lastServed: Asker = 'local'

  constructor(slots: number) {
    this.#slots = slots
  }

  /** What runs beyond fewer slots ends as it would have; nothing new starts until they are enough again. */
  resize(slots: number): void {
    this.#slots = slots
    this.#next()
  }

  /** How many wait, of one asker or of both. */
  waiting(asker?: Asker): number {
    return asker === undefined ? this.#waiting.job.length + this.#waiting.local.length : this.#waiting[asker].length
  }

  /** Nothing runs and nothing waits. */
  get isIdle(): boolean {
    return this.#taken === 0 && this.waiting() === 0
  }

  /** Resolves when it next is idle, which it may not be any more by then; rejects with the signal's reason. */
  idle(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#idle.delete(settle)
        signal.removeEventListener('abort', settle)
        if (signal.aborted) reject(signal.reason)
        else resolve()
      }
      if (signal.aborted || this.isIdle) return settle()
      this.#idle.add(settle)
      signal.addEventListener('abort', settle)
    })
  }

  /** Resolves with a function that frees the slot; rejects with the signal's reason if that comes first. */
  take(signal: AbortSignal, asker: Asker = 'job'): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const queue = this.#waiting[asker]
      const abort = (): void => {
        queue.splice(queue.indexOf(waiting), 1)
        reject(signal.reason)
      }
      const waiting: Waiting = {
        start: () => {
          signal.removeEventListener('abort', abort)
          this.#taken++
          resolve(this.#releaseOnce())
        }
      }
      if (signal.aborted) return reject(signal.reason)
      signal.addEventListener('abort', abort)
      queue.push(waiting)
      this.#next()
    })
  }

  #next(): void {
    while (this.#taken < this.#slots) {
      const turn: Asker = this.#lastServed === 'job' ? 'local' : 'job'
      const asker = this.#waiting[turn].length > 0 ? turn : this.#lastServed
      const waiting = this.#waiting[asker].shift()
      if (waiting === undefined) break
      this.#lastServed = asker
      waiting.start()
    }
    if (this.isIdle) for (const settle of [...this.#idle]) settle()
  }

  #releaseOnce(): () => void {
    let released = false
    return () => {
      if (released) return
      released = true
      this.#taken--
      this.#next()
    }
  }
}
