import { clearBit, hasBit, setBit, withRoomFor } from './bitmap.ts'
import { DeadlineQueue } from './deadline-queue.ts'
import type { Demand, PendingWork } from './demand.ts'
import type { DeviceTable } from './device-table.ts'

const NONE = new Uint32Array(0)

/** The waiting work of one demand, and which devices may do it. */
export class Line {
  readonly demand: Demand
  /** By priority. */
  readonly queues = new Map<number, DeadlineQueue<PendingWork>>()
  /** Where it stands among the lines that have work; -1 outside of them. */
  at = -1
  waiting = 0
  eligibleCount = 0
  /** By kind: a bitmap over its places. A line of one device needs none. */
  readonly #eligible: Uint32Array[] = []
  readonly #eligibleOfKind: number[] = []

  constructor(demand: Demand) {
    this.demand = demand
  }

  mayUse(device: number, devices: DeviceTable): boolean {
    if (this.demand.device !== undefined) return this.demand.device === device && this.eligibleCount === 1
    return hasBit(this.eligibleBits(devices.kindOf(device)), devices.placeOf(device))
  }

  eligibleBits(kind: number): Uint32Array {
    return this.#eligible[kind] ?? NONE
  }

  eligibleOfKind(kind: number): number {
    return this.#eligibleOfKind[kind] ?? 0
  }

  /** Answers whether that is a change. */
  setEligible(device: number, is: boolean, devices: DeviceTable): boolean {
    if (this.mayUse(device, devices) === is) return false
    const kind = devices.kindOf(device)
    while (this.#eligibleOfKind.length <= kind) this.#eligibleOfKind.push(0)
    this.#eligibleOfKind[kind] = this.eligibleOfKind(kind) + (is ? 1 : -1)
    this.eligibleCount += is ? 1 : -1
    if (this.demand.device !== undefined) return true
    while (this.#eligible.length <= kind) this.#eligible.push(NONE)
    const place = devices.placeOf(device)
    if (is) {
      const bits = withRoomFor(this.eligibleBits(kind), place)
      this.#eligible[kind] = bits
      setBit(bits, place)
    } else clearBit(this.eligibleBits(kind), place)
    return true
  }

  push(work: PendingWork): void {
    let queue = this.queues.get(work.priority)
    if (queue === undefined) {
      queue = new DeadlineQueue()
      this.queues.set(work.priority, queue)
    }
    queue.push(work)
    this.waiting += 1
  }

  remove(work: PendingWork): boolean {
    if (this.queues.get(work.priority)?.remove(work) !== true) return false
    this.waiting -= 1
    return true
  }

  /** By class, then deadline, then age. */
  *works(): IterableIterator<PendingWork> {
    const priorities = [...this.queues.keys()].sort((a, b) => b - a)
    for (const priority of priorities) {
      const queue = this.queues.get(priority) as DeadlineQueue<PendingWork>
      for (let i = 0; i < queue.size; i++) yield queue.at(i) as PendingWork
    }
  }
}
