import type { Labels } from '@skerry/contracts'
import type { PlacedByValue } from '@skerry/scheduler'
import { SpreadGroup } from './spread-group.ts'

const NONE: PlacedByValue = { least: Number.POSITIVE_INFINITY, on: () => 0 }

/** A demand, and the devices that may take its work now and could not before, or the other way round. */
export type Respread = { demand: string; devices: string[] }

/** Groups of jobs that are kept apart over the values of a label, by demand. */
export class Spreads {
  readonly #groups = new Map<string, SpreadGroup>()
  /** Of each device as it was counted: what it carries now may be something else. */
  readonly #labels = new Map<string, Labels>()

  open(demand: string, { label, maxSkew }: { label: string; maxSkew: number }): void {
    if (this.#groups.has(demand)) return
    const group = new SpreadGroup(label, maxSkew)
    for (const [deviceId, labels] of this.#labels) group.addDevice(labels[label], deviceId)
    this.#groups.set(demand, group)
  }

  /** Jobs of the group that run, by value. */
  countsOf(demand: string): PlacedByValue {
    return this.#groups.get(demand) ?? NONE
  }

  /** A device came, carries other labels, or (null) went. */
  noteDevice(deviceId: string, labels: Labels | null): Respread[] {
    const before = this.#labels.get(deviceId)
    if (labels === null) this.#labels.delete(deviceId)
    else this.#labels.set(deviceId, { ...labels })
    const changed: Respread[] = []
    for (const [demand, group] of this.#groups) {
      const [was, is] = [before?.[group.label], labels?.[group.label]]
      if (was === is) continue
      const devices = new Set([...group.removeDevice(was, deviceId), ...group.addDevice(is, deviceId)])
      if (devices.size > 0) changed.push({ demand, devices: [...devices] })
    }
    return changed
  }

  /** A job began (1) or ended (-1) on a device with this value. */
  noteJob(demand: string, value: string | undefined, change: 1 | -1): Respread {
    return { demand, devices: this.#groups.get(demand)?.noteJob(value, change) ?? [] }
  }

  /** Nothing waits under it any more; once nothing runs either, it is forgotten. */
  dropIdle(demand: string): void {
    if (this.#groups.get(demand)?.isIdle === true) this.#groups.delete(demand)
  }
}
