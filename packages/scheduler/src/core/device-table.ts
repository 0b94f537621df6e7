import { clearBit, setBit, withRoomFor } from './bitmap.ts'
import { grown } from './grow.ts'
import { MinHeap } from './min-heap.ts'

export type Busy = { untilMs: number; device: number }
/** Devices of one kind by place, so that those that are free and those that are eligible meet in two bitmaps. */
export type Kind = {
  members: Int32Array
  size: number
  /** Places below `size` that nobody has. */
  spare: number[]
  free: Uint32Array
  /** Behind the place that was taken last. */
  next: number
  /** Devices without a free slot, the soonest free first; entries that no longer hold are dropped when they come up. */
  busy: MinHeap<Busy>
}

const ABSENT = -1

/** Which devices there are, their kinds and free slots, and when each slot that is taken should be free again. */
export class DeviceTable {
  readonly kinds: Kind[] = []
  #kindOf = new Int32Array(0)
  #place = new Int32Array(0)
  #slots = new Int32Array(0)
  /** Predicted ends of what runs, the soonest first. */
  readonly #ends: number[][] = []
  #freeSlots = 0

  get freeSlots(): number {
    return this.#freeSlots
  }

  /** One past the highest index that was ever used. */
  get length(): number {
    return this.#ends.length
  }

  has(device: number): boolean {
    return device < this.#ends.length && this.#kindOf[device] !== ABSENT
  }

  kindOf(device: number): number {
    return this.#kindOf[device] as number
  }

  placeOf(device: number): number {
    return this.#place[device] as number
  }

  slots(device: number): number {
    return this.has(device) ? (this.#slots[device] as number) : 0
  }

  add(device: number, kind: number): void {
    while (this.kinds.length <= kind) this.kinds.push(emptyKind())
    const before = this.#kindOf.length
    this.#kindOf = grown(this.#kindOf, device + 1)
    this.#kindOf.fill(ABSENT, before)
    this.#place = grown(this.#place, device + 1)
    this.#slots = grown(this.#slots, device + 1)
    while (this.#ends.length <= device) this.#ends.push([])
    const own = this.kinds[kind] as Kind
    const place = own.spare.pop() ?? own.size++
    own.members = grown(own.members, place + 1)
    own.free = withRoomFor(own.free, place)
    own.members[place] = device
    this.#kindOf[device] = kind
    this.#place[device] = place
    this.#slots[device] = 0
  }

  remove(device: number): void {
    this.setSlots(device, 0)
    const own = this.kinds[this.kindOf(device)] as Kind
    own.members[this.placeOf(device)] = ABSENT
    own.spare.push(this.placeOf(device))
    this.#ends[device] = []
    this.#kindOf[device] = ABSENT
  }

  /** A slot more than before is a run that ended: without knowing better, the one that should have ended first. */
  setSlots(device: number, free: number): void {
    const before = this.#slots[device] as number
    const own = this.kinds[this.kindOf(device)] as Kind
    this.#freeSlots += free - before
    this.#slots[device] = free
    if (free > before) (this.#ends[device] as number[]).splice(0, free - before)
    if (free > 0) setBit(own.free, this.placeOf(device))
    else clearBit(own.free, this.placeOf(device))
    if (free <= 0 && before > 0) this.#noteBusy(device)
  }

  take(device: number, untilMs: number): void {
    const ends = this.#ends[device] as number[]
    let at = ends.length
    while (at > 0 && (ends[at - 1] as number) > untilMs) at -= 1
    ends.splice(at, 0, untilMs)
    const kind = this.kinds[this.kindOf(device)] as Kind
    kind.next = this.placeOf(device) + 1
    this.setSlots(device, (this.#slots[device] as number) - 1)
  }

  /** The run that should have ended then has. */
  release(device: number, untilMs: number): void {
    const ends = this.#ends[device] as number[]
    const at = ends.indexOf(untilMs)
    if (at > 0) {
      // setSlots ends the first one.
      ends.splice(at, 1)
      ends.unshift(untilMs)
    }
    this.setSlots(device, (this.#slots[device] as number) + 1)
  }

  /** Until a slot there should be free: zero where one is, or where what runs is late. */
  freeInMs(device: number, nowMs: number): number {
    return Math.max(0, (this.dueMs(device) ?? nowMs) - nowMs)
  }

  /**
   * Without a free slot, and due first of its kind, by `limitMs` at the latest. A run that is late says nothing of when it
   * will end, so that it is not counted.
   */
  soonestFree(kind: number, nowMs: number, limitMs: number): Busy | undefined {
    const { busy } = this.kinds[kind] as Kind
    for (let top = busy.peek(); top !== undefined && top.untilMs <= limitMs; top = busy.peek()) {
      if (top.untilMs >= nowMs && this.#kindOf[top.device] === kind && this.dueMs(top.device) === top.untilMs)
        return top
      busy.pop()
    }
    return undefined
  }

  #noteBusy(device: number): void {
    const untilMs = this.dueMs(device)
    if (untilMs !== undefined) this.kinds[this.kindOf(device)]?.busy.push({ untilMs, device })
  }

  /** When the first of its runs should end, if it has no free slot. */
  dueMs(device: number): number | undefined {
    return (this.#slots[device] as number) > 0 ? undefined : this.#ends[device]?.[0]
  }
}

const emptyKind = (): Kind => ({
  members: new Int32Array(0),
  size: 0,
  spare: [],
  free: new Uint32Array(0),
  next: 0,
  busy: new MinHeap<Busy>((a, b) => a.untilMs < b.untilMs)
})
