import type { Labels } from '@skerry/contracts'
import { SpreadGroup } from './spread-group.ts'

const NONE: ReadonlyMap<string, number> = new Map()

/** Groups of jobs that are kept apart over the values of a label, by demand. */
export class Spreads {
  readonly #groups = new Map<string, SpreadGroup>()
  /** Of each device as it was counted: what it carries now may be something else. */
  readonly #labels = new Map<string, Labels>()

  open(demand: string, { label, maxSkew }: { label: string; maxSkew: number }): void {
    if (this.#groups.has(demand)) return
    const group = new SpreadGroup(label, maxSkew)
    for (const labels of this.#labels.values()) group.noteDevice(labels[label], 1)
    this.#groups.set(demand, group)
  }

  /** Jobs of the group that run, by value; every value that a device carries is a key. */
  countsOf(demand: string): ReadonlyMap<string, number> {
    return this.#groups.get(demand)?.counts ?? NONE
  }

  /** A device came, carries other labels, or (null) went. Answers the demands that may go elsewhere now. */
  noteDevice(deviceId: string, labels: Labels | null): string[] {
    const before = this.#labels.get(deviceId)
    if (labels === null) this.#labels.delete(deviceId)
    else this.#labels.set(deviceId, { ...labels })
    const changed: string[] = []
    for (const [demand, group] of this.#groups) {
      const [was, is] = [before?.[group.label], labels?.[group.label]]
      if (was === is) continue
      group.noteDevice(was, -1)
      group.noteDevice(is, 1)
      changed.push(demand)
    }
    return changed
  }

  /** A job began (1) or ended (-1) on a device with this value. Answers whether its demand may go elsewhere now. */
  noteJob(demand: string, value: string | undefined, change: 1 | -1): boolean {
    return this.#groups.get(demand)?.noteJob(value, change) === true
  }

  /** Nothing waits under it any more; once nothing runs either, it is forgotten. */
  dropIdle(demand: string): void {
    if (this.#groups.get(demand)?.isIdle === true) this.#groups.delete(demand)
  }
}
