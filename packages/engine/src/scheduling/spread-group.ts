import type { PlacedByValue } from '@skerry/scheduler'

/**
 * How many jobs of a spread demand run on each value of its label, and which values may take one more. A value may be that of
 * one device, so that nothing here passes over all values: what changes answers the devices that it changes something for.
 */
export class SpreadGroup implements PlacedByValue {
  readonly label: string
  readonly #maxSkew: number
  /** Every value that a device carries is a key. */
  readonly #counts = new Map<string, number>()
  /** The same by how many run there: few numbers, however many values. */
  readonly #valuesOf = new Map<number, Set<string>>()
  readonly #devices = new Map<string, Set<string>>()
  #least = Number.POSITIVE_INFINITY

  constructor(label: string, maxSkew: number) {
    this.label = label
    this.#maxSkew = maxSkew
  }

  /** On the value with the fewest; infinite while no device carries the label. */
  get least(): number {
    return this.#least
  }

  on(value: string): number {
    return this.#counts.get(value) ?? 0
  }

  get isIdle(): boolean {
    return [...this.#valuesOf.keys()].every((count) => count === 0)
  }

  /** A device came with this value. */
  addDevice(value: string | undefined, deviceId: string): string[] {
    if (value === undefined) return []
    const known = this.#devices.get(value)
    if (known !== undefined) {
      known.add(deviceId)
      return []
    }
    this.#devices.set(value, new Set([deviceId]))
    return this.#change(value, 0)
  }

  /** It went, or carries another value now; a value without devices is none that the least is counted over. */
  removeDevice(value: string | undefined, deviceId: string): string[] {
    const known = value === undefined ? undefined : this.#devices.get(value)
    if (value === undefined || known?.delete(deviceId) !== true || known.size > 0) return []
    const changed = this.#change(value, null)
    this.#devices.delete(value)
    return changed
  }

  /** A job of the group began (1) or ended (-1) there. */
  noteJob(value: string | undefined, change: 1 | -1): string[] {
    const count = value === undefined ? undefined : this.#counts.get(value)
    if (value === undefined || count === undefined) return []
    return this.#change(value, Math.max(0, count + change))
  }

  /** Answers the devices whose value may take one more that could not before, or the other way round. */
  #change(value: string, to: number | null): string[] {
    const [from, mostBefore] = [this.#counts.get(value), this.#most]
    if (from !== undefined) this.#leave(value, from)
    if (to === null) this.#counts.delete(value)
    else this.#enter(value, to)
    this.#least = Math.min(...this.#valuesOf.keys())
    const changed: string[] = []
    const [low, high] = [Math.min(mostBefore, this.#most), Math.max(mostBefore, this.#most)]
    if (low < high)
      for (const [count, values] of this.#valuesOf)
        if (count > low && count <= high) for (const each of values) if (each !== value) changed.push(each)
    if (from === undefined || to === null || from <= mostBefore !== to <= this.#most) changed.push(value)
    return changed.flatMap((each) => [...(this.#devices.get(each) ?? [])])
  }

  /** With more than so many a value takes none. */
  get #most(): number {
    return this.#least + this.#maxSkew - 1
  }

  #enter(value: string, count: number): void {
    this.#counts.set(value, count)
    const values = this.#valuesOf.get(count)
    if (values === undefined) this.#valuesOf.set(count, new Set([value]))
    else values.add(value)
  }

  #leave(value: string, count: number): void {
    const values = this.#valuesOf.get(count)
    values?.delete(value)
    if (values?.size === 0) this.#valuesOf.delete(count)
  }
}
