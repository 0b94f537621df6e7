import type { WeightedScores } from '../scores/weights.ts'
import type { Candidates } from './candidates.ts'
import type { PendingWork } from './demand.ts'
import type { DeviceTable } from './device-table.ts'
import type { FinishTimes } from './finish-times.ts'
import type { Line } from './line.ts'
import type { LineTable } from './line-table.ts'
import { isOlder } from './order.ts'
import type { SchedulerConfig } from './scheduler-config.ts'

export type BestWorkParts = {
  devices: DeviceTable
  lines: LineTable
  times: FinishTimes
  candidates: Candidates
  scores: WeightedScores
  config: Pick<SchedulerConfig, 'laneDepth' | 'deadlineOnly'>
  /** Whether the work is left for a device that is busy. */
  waits: (work: PendingWork, line: Line, device: number, ms: number, nowMs: number) => boolean
}

/** Chooses among the waiting work that a free device may do: of the highest class what the scores cost least. */
export class BestWork {
  readonly #parts: BestWorkParts
  #best: PendingWork | undefined
  #bestCost = 0

  constructor(parts: BestWorkParts) {
    this.#parts = parts
  }

  /** Undefined when nothing is right there now. */
  bestFor(device: number, nowMs: number): PendingWork | undefined {
    const { devices, lines } = this.#parts
    this.#best = undefined
    if (devices.slots(device) <= 0) return undefined
    for (const line of lines.busy) if (line.mayUse(device, devices)) this.#consider(line, device, nowMs)
    for (const line of lines.ofDevice(device)) if (line.mayUse(device, devices)) this.#consider(line, device, nowMs)
    return this.#best
  }

  #consider(line: Line, device: number, nowMs: number): void {
    const { times, config, waits } = this.#parts
    const { artifact } = line.demand
    const ms = times.expectedMs(device, artifact)
    const leastMs = times.leastMs(device, artifact)
    for (const { priority, queue } of line.lanes) {
      if (this.#best !== undefined && priority < this.#best.priority) return
      const first = queue.firstFrom(nowMs + leastMs)
      for (let i = first; i < first + config.laneDepth; i++) {
        const work = queue.at(i)
        if (work === undefined) break
        if (waits(work, line, device, ms, nowMs)) continue
        this.#keepBetter(work, this.#cost(work, line, device, nowMs))
        break
      }
    }
  }

  #cost(work: PendingWork, line: Line, device: number, nowMs: number): number {
    const { candidates, scores, config } = this.#parts
    return config.deadlineOnly ? work.deadlineMs : scores.cost(candidates.ofWork(work, line, device, nowMs))
  }

  #keepBetter(work: PendingWork, cost: number): void {
    const best = this.#best
    const isBetter =
      best === undefined ||
      work.priority > best.priority ||
      cost < this.#bestCost ||
      (cost === this.#bestCost && isOlder(work, best))
    if (!isBetter) return
    this.#best = work
    this.#bestCost = cost
  }
}
