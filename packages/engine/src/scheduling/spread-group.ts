/** How many jobs of a spread demand run on each value of its label, and which values may take one more. */
export class SpreadGroup {
  readonly label: string
  readonly #maxSkew: number
  readonly #counts = new Map<string, number>()
  readonly #devices = new Map<string, number>()

  constructor(label: string, maxSkew: number) {
    this.label = label
    this.#maxSkew = maxSkew
  }

  get counts(): ReadonlyMap<string, number> {
    return this.#counts
  }

  get isIdle(): boolean {
    return [...this.#counts.values()].every((count) => count === 0)
  }

  /** A device with this value came (1) or went (-1); a value without devices is none that the least is counted over. */
  noteDevice(value: string | undefined, change: 1 | -1): void {
    if (value === undefined) return
    const devices = (this.#devices.get(value) ?? 0) + change
    if (devices > 0) {
      this.#devices.set(value, devices)
      if (!this.#counts.has(value)) this.#counts.set(value, 0)
    } else {
      this.#devices.delete(value)
      this.#counts.delete(value)
    }
  }

  /** A job of the group began (1) or ended (-1) there. Answers whether other values may take one more than before. */
  noteJob(value: string | undefined, change: 1 | -1): boolean {
    if (value === undefined || !this.#counts.has(value)) return false
    const before = this.#open()
    this.#counts.set(value, Math.max(0, (this.#counts.get(value) ?? 0) + change))
    return before !== this.#open()
  }

  #open(): string {
    const least = Math.min(...this.#counts.values())
    return [...this.#counts].map(([, count]) => (count + 1 - least <= this.#maxSkew ? '1' : '0')).join('')
  }
}
