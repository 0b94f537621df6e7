type Waiting = { start: () => void }

/** Slots of one kind of work. What comes while all are taken waits in the order in which it came. */
export class Lane {
  readonly #slots: number
  readonly #waiting: Waiting[] = []
  #taken = 0

  constructor(slots: number) {
    this.#slots = slots
  }

  /** Resolves with a function that frees the slot; rejects with the signal's reason if that comes first. */
  take(signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const abort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
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
      this.#waiting.push(waiting)
      this.#next()
    })
  }

  #next(): void {
    while (this.#taken < this.#slots) {
      const waiting = this.#waiting.shift()
      if (waiting === undefined) return
      waiting.start()
    }
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
