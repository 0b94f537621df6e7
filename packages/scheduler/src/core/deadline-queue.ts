export type Queued = { deadlineMs: number; order: number }

/** Entries by deadline, then arrival. Mostly appended to and taken from the front, which both cost little. */
export class DeadlineQueue<T extends Queued> {
  #items: T[] = []
  #head = 0

  get size(): number {
    return this.#items.length - this.#head
  }

  at(index: number): T | undefined {
    return this.#items[this.#head + index]
  }

  /** The first whose deadline is not before `ms`. */
  firstFrom(ms: number): number {
    let low = this.#head
    let high = this.#items.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#items[middle] as T).deadlineMs < ms) low = middle + 1
      else high = middle
    }
    return low - this.#head
  }

  push(item: T): void {
    let low = this.#head
    let high = this.#items.length
    const last = this.#items[high - 1]
    if (last === undefined || comesAfter(item, last)) low = high
    while (low < high) {
      const middle = (low + high) >> 1
      if (comesAfter(item, this.#items[middle] as T)) low = middle + 1
      else high = middle
    }
    if (low === this.#items.length) this.#items.push(item)
    else this.#items.splice(low, 0, item)
  }

  take(index: number): T {
    const at = this.#head + index
    const item = this.#items[at] as T
    if (index === 0) {
      this.#head += 1
      if (this.#head > 64 && this.#head * 2 > this.#items.length) {
        this.#items = this.#items.slice(this.#head)
        this.#head = 0
      }
    } else this.#items.splice(at, 1)
    return item
  }

  remove(item: T): boolean {
    let low = this.#head
    let high = this.#items.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (comesAfter(this.#items[middle] as T, item)) high = middle
      else low = middle + 1
    }
    // Jobs of one submission have equal keys: the first of those, then on to the item itself.
    while (low < this.#items.length && this.#items[low] !== item && !isAfter(this.#items[low] as T, item)) low += 1
    if (this.#items[low] !== item) return false
    this.take(low - this.#head)
    return true
  }
}

const comesAfter = (a: Queued, b: Queued): boolean =>
  a.deadlineMs > b.deadlineMs || (a.deadlineMs === b.deadlineMs && a.order >= b.order)

const isAfter = (a: Queued, b: Queued): boolean =>
  a.deadlineMs > b.deadlineMs || (a.deadlineMs === b.deadlineMs && a.order > b.order)
