/**
 * Joins calls that arrive while an earlier batch is under way into one call: under load a statement serves many jobs, and
 * a single job waits for nobody.
 */
export class Batcher<Item, Answer> {
  readonly #run: (items: Item[]) => Promise<Answer[]>
  readonly #limit: number
  #pending: { item: Item; resolve: (answer: Answer) => void; reject: (error: unknown) => void }[] = []
  #busy = 0
  readonly #parallel: number

  /** `run` answers in the order of its items; a batch that fails fails each of its items. */
  constructor(run: (items: Item[]) => Promise<Answer[]>, options: { limit?: number; parallel?: number } = {}) {
    this.#run = run
    this.#limit = options.limit ?? 500
    this.#parallel = options.parallel ?? 1
  }

  submit(item: Item): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#pending.push({ item, resolve, reject })
      if (this.#busy < this.#parallel) setImmediate(() => void this.#drain())
    })
  }

  async #drain(): Promise<void> {
    if (this.#busy >= this.#parallel || this.#pending.length === 0) return
    this.#busy += 1
    const batch = this.#pending.splice(0, this.#limit)
    try {
      const answers = await this.#run(batch.map((entry) => entry.item))
      batch.forEach((entry, i) => {
        entry.resolve(answers[i] as Answer)
      })
    } catch (error) {
      for (const entry of batch) entry.reject(error)
    } finally {
      this.#busy -= 1
    }
    await this.#drain()
  }
}
