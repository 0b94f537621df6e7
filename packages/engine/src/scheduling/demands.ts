import type { WaitingWork } from './work.ts'

type Demand = WaitingWork['demand']

/** Demands that work waits for, each for as long as any does. */
export class Demands {
  readonly #byKey = new Map<string, { demand: Demand; works: number }>()

  has(key: string): boolean {
    return this.#byKey.has(key)
  }

  /** One more work is of it. */
  open(key: string, make: () => Demand): Demand {
    const known = this.#byKey.get(key)
    if (known === undefined) {
      const demand = make()
      this.#byKey.set(key, { demand, works: 1 })
      return demand
    }
    known.works += 1
    return known.demand
  }

  /** One less; true when it was the last. */
  drop(key: string): boolean {
    const known = this.#byKey.get(key)
    if (known === undefined) return false
    known.works -= 1
    if (known.works > 0) return false
    return this.#byKey.delete(key)
  }
}
