import type { Demand, PendingWork } from './demand.ts'
import type { DeviceTable } from './device-table.ts'
import { Line } from './line.ts'

/**
 * All lines by key. Those of one device are found by that device, so that ten thousand of them cost a decision nothing.
 * Selectors are free text, so that keys are without number: a line without work is dropped, lines of many devices once
 * `idleLines` of them are without.
 */
export class LineTable {
  readonly #devices: DeviceTable
  readonly #idleLines: number
  readonly #byKey = new Map<string, Line>()
  readonly #ofDevice = new Map<number, Set<Line>>()
  /** Of many devices. */
  readonly #shared = new Set<Line>()
  /** With work, of many devices. */
  readonly busy: Line[] = []
  /** Without work, the longest idle first. */
  readonly #idle = new Set<Line>()

  constructor(devices: DeviceTable, idleLines: number) {
    this.#devices = devices
    this.#idleLines = idleLines
  }

  get size(): number {
    return this.#byKey.size
  }

  all(): IterableIterator<Line> {
    return this.#byKey.values()
  }

  find(key: string): Line | undefined {
    return this.#byKey.get(key)
  }

  ofDevice(device: number): Iterable<Line> {
    return this.#ofDevice.get(device) ?? []
  }

  /** The demand's line; the filters are asked of every device that may be meant when there is none yet. */
  open(demand: Demand): Line {
    const known = this.#byKey.get(demand.key)
    if (known !== undefined) return known
    const line = new Line(demand)
    this.#byKey.set(demand.key, line)
    const { device } = demand
    if (device === undefined) {
      this.#shared.add(line)
      for (let each = 0; each < this.#devices.length; each++)
        if (this.#devices.has(each) && demand.admits(each)) line.setEligible(each, true, this.#devices)
      this.#setIdle(line)
    } else {
      const own = this.#ofDevice.get(device)
      if (own === undefined) this.#ofDevice.set(device, new Set([line]))
      else own.add(line)
      if (this.#devices.has(device) && demand.admits(device)) line.setEligible(device, true, this.#devices)
    }
    return line
  }

  /** The same without keeping it, where it is cheap to make again. */
  view(demand: Demand): Line {
    const known = this.#byKey.get(demand.key)
    if (known !== undefined || demand.device === undefined) return known ?? this.open(demand)
    const line = new Line(demand)
    if (this.#devices.has(demand.device) && demand.admits(demand.device))
      line.setEligible(demand.device, true, this.#devices)
    return line
  }

  push(work: PendingWork): void {
    const line = this.open(work.demand)
    line.push(work)
    if (line.waiting > 1 || line.demand.device !== undefined) return
    this.#idle.delete(line)
    line.at = this.busy.length
    this.busy.push(line)
  }

  remove(work: PendingWork): boolean {
    const line = this.#byKey.get(work.demand.key)
    if (line?.remove(work) !== true) return false
    this.settle(line)
    return true
  }

  /** Its work was taken from it: without any it is idle, or dropped. */
  settle(line: Line): void {
    if (line.waiting > 0) return
    if (line.demand.device === undefined) this.#setIdle(line)
    else this.drop(line)
  }

  drop(line: Line): void {
    this.#byKey.delete(line.demand.key)
    this.#leaveBusy(line)
    this.#idle.delete(line)
    this.#shared.delete(line)
    const { device } = line.demand
    const own = device === undefined ? undefined : this.#ofDevice.get(device)
    own?.delete(line)
    if (device !== undefined && own?.size === 0) this.#ofDevice.delete(device)
  }

  /** The filters are asked of it again; a device that is gone may do nothing. Answers the lines that gained it. */
  ask(device: number, isThere: boolean): Line[] {
    const gained: Line[] = []
    const each = (line: Line) => {
      const is = isThere && line.demand.admits(device)
      if (line.setEligible(device, is, this.#devices) && is) gained.push(line)
    }
    for (const line of this.#shared) each(line)
    for (const line of this.ofDevice(device)) each(line)
    return gained
  }

  /** What the filters of this line read beside the devices has changed. */
  askAll(line: Line): void {
    for (let each = 0; each < this.#devices.length; each++)
      if (this.#devices.has(each)) line.setEligible(each, line.demand.admits(each), this.#devices)
  }

  #setIdle(line: Line): void {
    this.#leaveBusy(line)
    this.#idle.add(line)
    for (const oldest of this.#idle) {
      if (this.#idle.size <= this.#idleLines) break
      this.drop(oldest)
    }
  }

  #leaveBusy(line: Line): void {
    if (line.at < 0) return
    const last = this.busy.pop() as Line
    if (last !== line) {
      this.busy[line.at] = last
      last.at = line.at
    }
    line.at = -1
  }
}
