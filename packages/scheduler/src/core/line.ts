import { clearBit, hasBit, setBit, withRoomFor } from './bitmap.ts'
import { DeadlineQueue } from './deadline-queue.ts'
import type { Demand, PendingWork } from './demand.ts'
import type { DeviceTable } from './device-table.ts'

const NONE = new Uint32Array(0)
/** Empty ones are kept for the next work, few enough that any number of classes does not pile up. */
const KEPT_LANES = 4

/** Work of one class. What has no deadline soon stands apart, so that it is seen behind a stream of work that has. */
export type Lane = { priority: number; byAge: boolean; queue: DeadlineQueue<PendingWork> }

/** The waiting work of one demand, and which devices may do it. */
export class Line {
  readonly demand: Demand
  /** The highest class first; in a class, what has a deadline before what goes by age. */
  readonly lanes: Lane[] = []
  /** Where it stands among the lines that have work; -1 outside of them. */
  at = -1
  waiting = 0
  /** When it is looked at next for work that has become hopeless. */
  lookAtMs = Number.POSITIVE_INFINITY
  eligibleCount = 0
  /** By kind: a bitmap over its places. A line of one device needs none. */
  readonly #eligible: Uint32Array[] = []
  readonly #eligibleOfKind: number[] = []
  readonly #agingMs: number

  constructor(demand: Demand, agingMs: number) {
    this.demand = demand
    this.#agingMs = agingMs
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
    const byAge = this.#goesByAge(work)
    let at = 0
    for (; at < this.lanes.length; at++) {
      const { priority, byAge: isLater } = this.lanes[at] as Lane
      if (priority < work.priority || (priority === work.priority && Number(isLater) >= Number(byAge))) break
    }
    let lane = this.lanes[at]
    if (lane === undefined || lane.priority !== work.priority || lane.byAge !== byAge) {
      lane = { priority: work.priority, byAge, queue: new DeadlineQueue() }
      this.lanes.splice(at, 0, lane)
    }
    lane.queue.push(work)
    this.waiting += 1
  }

  remove(work: PendingWork): boolean {
    const byAge = this.#goesByAge(work)
    const at = this.lanes.findIndex((lane) => lane.priority === work.priority && lane.byAge === byAge)
    const lane = this.lanes[at]
    if (lane?.queue.remove(work) !== true) return false
    if (lane.queue.size === 0 && this.lanes.length > KEPT_LANES) this.lanes.splice(at, 1)
    this.waiting -= 1
    return true
  }

  /** Whether nothing of its class is more urgent. */
  isHead(work: PendingWork): boolean {
    return this.lanes.some(({ queue }) => queue.at(0) === work)
  }

  soonestDeadlineMs(): number {
    return this.lanes.reduce(
      (soonest, { queue }) => Math.min(soonest, queue.at(0)?.deadlineMs ?? soonest),
      Number.POSITIVE_INFINITY
    )
  }

  first(): PendingWork | undefined {
    for (const { queue } of this.lanes) if (queue.size > 0) return queue.at(0)
    return undefined
  }

  /** What the predicate says of the earliest deadlines, taken out. */
  takeWhile(hopeless: (work: PendingWork) => boolean): PendingWork[] {
    const taken: PendingWork[] = []
    for (const { queue } of this.lanes)
      for (let head = queue.at(0); head !== undefined && hopeless(head); head = queue.at(0)) taken.push(queue.take(0))
    this.waiting -= taken.length
    return taken
  }

  /** By class, then deadline, then age. */
  *works(): IterableIterator<PendingWork> {
    for (const { queue } of this.lanes) for (let i = 0; i < queue.size; i++) yield queue.at(i) as PendingWork
  }

  #goesByAge(work: PendingWork): boolean {
    return work.deadlineMs - work.submittedAtMs > this.#agingMs
  }
}
