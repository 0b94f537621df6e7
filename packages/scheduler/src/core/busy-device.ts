import type { PendingWork } from './demand.ts'
import type { DeviceTable } from './device-table.ts'
import type { FinishTimes } from './finish-times.ts'
import type { Line } from './line.ts'
import type { Promises } from './promises.ts'
import type { Residency } from './residency.ts'
import type { SchedulerConfig } from './scheduler-config.ts'

/** Of the devices that have an artifact loaded so many are looked at. */
const TRIED_LOADED = 32

/** Leaves work for a device that is busy now. */
export class BusyDevice {
  readonly #devices: DeviceTable
  readonly #residency: Residency
  readonly #times: FinishTimes
  readonly #promises: Promises
  readonly #waitRatio: number
  readonly #certainty: number

  constructor(
    devices: DeviceTable,
    residency: Residency,
    times: FinishTimes,
    promises: Promises,
    { waitRatio, weights }: Pick<SchedulerConfig, 'waitRatio' | 'weights'>
  ) {
    this.#devices = devices
    this.#residency = residency
    this.#times = times
    this.#promises = promises
    this.#waitRatio = waitRatio
    this.#certainty = weights.device.certainty ?? 0
  }

  /**
   * Whether a busy device that no other work waits for will have done it in `waitRatio` of `ms`, and in time; the work is
   * then left for it. Never for longer in all than the free device would have taken, so that it is not passed on from one
   * to the next for ever.
   */
  isWorthWaiting(work: PendingWork, line: Line, free: number, ms: number, nowMs: number): boolean {
    if (this.#waitRatio === 0 || nowMs - (this.#promises.sinceMs(work) ?? nowMs) > ms) return false
    const logChance = this.#times.logChance(ms, work.deadlineMs - nowMs, free, work.demand.artifact)
    // What the free device may well miss is worth waiting for longer: as much longer as its chance is less.
    const withinMs = this.#waitRatio * ms * Math.exp(-this.#certainty * logChance)
    const limitMs = Math.min(nowMs + withinMs, work.deadlineMs)
    for (let kind = 0; kind < this.#devices.kinds.length; kind++) {
      if (line.eligibleOfKind(kind) === 0) continue
      const soonest = this.#devices.soonestFree(kind, nowMs, limitMs)
      if (soonest !== undefined && this.#isLeftFor(work, line, soonest.device, soonest.untilMs, withinMs, nowMs))
        return true
    }
    if (!this.#residency.matters) return false
    // The first of a kind to be free may have to load it; one that has it already may be done sooner all the same.
    let tried = 0
    for (const device of this.#residency.devicesWith(work.demand.artifact)) {
      if (tried++ >= TRIED_LOADED) break
      const untilMs = this.#devices.dueMs(device)
      if (untilMs === undefined || untilMs < nowMs) continue
      if (this.#isLeftFor(work, line, device, untilMs, withinMs, nowMs)) return true
    }
    return false
  }

  #isLeftFor(work: PendingWork, line: Line, device: number, untilMs: number, withinMs: number, nowMs: number): boolean {
    if (!line.mayUse(device, this.#devices)) return false
    const { artifact } = work.demand
    const ms = this.#times.expectedMs(device, artifact)
    const doneInMs = untilMs + ms - nowMs
    if (nowMs + doneInMs > work.deadlineMs || doneInMs > withinMs) return false
    const logChance = this.#times.logChance(ms, work.deadlineMs - untilMs, device, artifact)
    if (doneInMs > withinMs * Math.exp(this.#certainty * logChance)) return false
    const other = this.#promises.of(device)
    if (other !== undefined && other !== work) return false
    this.#promises.give(device, work, untilMs, nowMs)
    return true
  }
}
