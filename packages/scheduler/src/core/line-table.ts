import { type Demand, type PendingWork, poolOf } from './demand.ts'
import type { DeviceTable } from './device-table.ts'
import { Line } from './line.ts'
import type { Room } from './room.ts'
import type { SchedulerConfig } from './scheduler-config.ts'

/**
 * All lines by key. Those of one device are found by that device, so that ten thousand of them cost a decision nothing.
 * Selectors are free text, so that keys are without number: a line without work is dropped, lines of many devices once
 * `idleLines` of them are without.
 */
export class LineTable {
  readonly #devices: DeviceTable
  readonly #config: Pick<SchedulerConfig, 'idleLines' | 'agingMs'>
  readonly #room: Room
  readonly #byKey = new Map<string, Line>()
  readonly #ofDevice = new Map<number, Set<Line>>()
  /** Of many devices. */
  readonly #shared = new Set<Line>()
  /** With work, of many devices. */
  readonly busy: Line[] = []
  /** Without work, the longest idle first. */
  readonly #idle = new Set<Line>()

  constructor(devices: DeviceTable, room: Room, config: Pick<SchedulerConfig, 'idleLines' | 'agingMs'>) {
    this.#devices = devices
    this.#room = room
    this.#config = config
  }

  get size(): number {
    return this.#byKey.size
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
    const line = new Line(demand, this.#config.agingMs)
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
    const line = new Line(demand, this.#config.agingMs)
    if (this.#devices.has(demand.device) && demand.admits(demand.device))
      line.setEligible(demand.device, true, this.#devices)
    return line
  }

  /** Whether work of this demand takes up one more of the lines that are bounded. */
  needsLine({ key, device }: Demand): boolean {
    return device === undefined && (this.#byKey.get(key)?.waiting ?? 0) === 0
  }

  push(work: PendingWork): Line {
    const line = this.open(work.demand)
    line.push(work)
    if (line.waiting > 1 || line.demand.device !== undefined) return line
    this.#idle.delete(line)
    line.at = this.busy.length
    this.busy.push(line)
    this.#room.addLine(poolOf(line.demand))
    return line
  }

  /** The line that it waited in, or undefined when it did not wait. */
  remove(work: PendingWork): Line | undefined {
    const line = this.#byKey.get(work.demand.key)
    if (line?.remove(work) !== true) return undefined
    this.settle(line)
    return line
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

  /** The filters are asked of it again; a device that is gone may do nothing. Answers the lines that gained or lost it. */
  ask(device: number, isThere: boolean): { gained: Line[]; lost: Line[] } {
    const [gained, lost]: [Line[], Line[]] = [[], []]
    const each = (line: Line) => {
      const is = isThere && line.demand.admits(device)
      if (line.setEligible(device, is, this.#devices)) (is ? gained : lost).push(line)
    }
    for (const line of this.#shared) each(line)
    for (const line of this.ofDevice(device)) each(line)
    return { gained, lost }
  }

  /** What the filters of this line read beside the devices has changed for these. */
  askOf(line: Line, devices: Iterable<number>): void {
    for (const each of devices)
      if (this.#devices.has(each)) line.setEligible(each, line.demand.admits(each), this.#devices)
  }

  #setIdle(line: Line): void {
    this.#leaveBusy(line)
    this.#idle.add(line)
    for (const oldest of this.#idle) {
      if (this.#idle.size <= this.#config.idleLines) break
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
    this.#room.removeLine(poolOf(line.demand))
  }
}
