import type { AdmissionCandidate } from '../admission.ts'
import type { LatencyModel } from '../profiles/latency-model.ts'
import { firstCommon } from './bitmap.ts'
import type { Demand, PendingWork, Placement } from './demand.ts'
import { DeviceTable, type Kind } from './device-table.ts'
import { Fairness } from './fairness.ts'
import type { Line } from './line.ts'
import { LineTable } from './line-table.ts'
import { outlookOf } from './outlook.ts'
import { Promises } from './promises.ts'
import { DEFAULT_SCHEDULER_CONFIG, type SchedulerConfig } from './scheduler-config.ts'

const DAY_MS = 86_400_000
/** Of a kind's free devices the first few stand for all: they differ little, and drifting ones show at once. */
const TRIED_OF_KIND = 8

/**
 * The decisions of the active scheduler. It owns the waiting work and the devices' free slots, and nothing else.
 *
 * Devices, kinds and artifacts are small whole numbers, so that all of it lies in flat arrays: the caller numbers its
 * ids, and may give the number of what is gone to what comes next. Where a device has slots of two sorts (inference,
 * conversion), each sort is a device here. The latency model must know a device before this does.
 */
export class ActiveScheduler {
  readonly #latency: LatencyModel
  readonly #config: SchedulerConfig
  readonly #devices = new DeviceTable()
  readonly #lines: LineTable
  readonly #promises = new Promises()
  readonly #fairness = new Fairness()
  #waiting = 0

  constructor(latency: LatencyModel, config: Partial<SchedulerConfig> = {}) {
    this.#latency = latency
    this.#config = { ...DEFAULT_SCHEDULER_CONFIG, ...config }
    this.#lines = new LineTable(this.#devices, this.#config.idleLines)
  }

  get waiting(): number {
    return this.#waiting
  }

  get freeSlots(): number {
    return this.#devices.freeSlots
  }

  /** Demands that are kept, with or without work. */
  get lines(): number {
    return this.#lines.size
  }

  addDevice(device: number, kind: number, freeSlots: number): void {
    if (this.#devices.has(device)) throw new RangeError(`device ${device} is there already`)
    this.#devices.add(device, kind)
    this.#lines.ask(device, true)
    this.setSlots(device, freeSlots)
  }

  /** It vanished: nothing is placed there any more, and `placeLeft` looks again at what was left for it. */
  removeDevice(device: number): void {
    if (!this.#devices.has(device)) return
    this.#promises.dropDevice(device)
    this.#lines.ask(device, false)
    this.#devices.remove(device)
  }

  hasDevice(device: number): boolean {
    return this.#devices.has(device)
  }

  /** Slots free now; a placement has taken its own already. More than before: as many runs ended, the oldest ones. */
  setSlots(device: number, free: number): void {
    if (!this.#devices.has(device)) return
    if (free > 0) this.#promises.dropDevice(device)
    this.#devices.setSlots(device, free)
  }

  slots(device: number): number {
    return this.#devices.slots(device)
  }

  /** This run ended, or never began; its slot is free again unless the device is gone. */
  release(placement: Placement): void {
    const { device, predictedFinishMs } = placement
    if (!this.#devices.has(device)) return
    this.#devices.release(device, predictedFinishMs)
    if (this.#devices.slots(device) > 0) this.#promises.dropDevice(device)
  }

  /** Its labels, state, health or artifacts changed: the filters are asked again. */
  deviceChanged(device: number): void {
    if (this.#devices.has(device)) this.#lines.ask(device, true)
  }

  /** What this demand's filters read beside the devices has changed: all devices are asked again. */
  demandChanged(key: string): void {
    const line = this.#lines.find(key)
    if (line !== undefined) this.#lines.askAll(line)
  }

  /** What work like this would meet if it came now; empty when no device that is there may do it. */
  outlook(work: Pick<PendingWork, 'demand' | 'priority' | 'deadlineMs'>, nowMs: number): AdmissionCandidate[] {
    return outlookOf(this.#lines.view(work.demand), this.#devices, this.#latency, work, nowMs)
  }

  /** Until a slot of the device should be free. */
  freeInMs(device: number, nowMs: number): number {
    return this.#devices.has(device) ? this.#devices.freeInMs(device, nowMs) : 0
  }

  /** False at the bound: the job stays in its pool, and submitters are told to come later. */
  offer(work: PendingWork): boolean {
    if (this.#waiting >= this.#config.bound) return false
    this.#lines.push(work)
    this.#waiting += 1
    return true
  }

  forget(work: PendingWork): boolean {
    if (!this.#lines.remove(work)) return false
    this.#promises.dropWork(work)
    this.#waiting -= 1
    return true
  }

  /** A pool or deployment is gone: the work that waited under the key, taken out. */
  dropLine(key: string): PendingWork[] {
    const line = this.#lines.find(key)
    if (line === undefined) return []
    const works = [...line.works()]
    this.#lines.drop(line)
    for (const work of works) this.#promises.dropWork(work)
    this.#waiting -= works.length
    return works
  }

  /** By class, then deadline, then age. Not to be changed meanwhile. */
  waitingOf(key: string): Iterable<PendingWork> {
    return this.#lines.find(key)?.works() ?? []
  }

  /** What became of a request of this artifact, for fairness between models. */
  noteOutcome(artifact: number, failed: boolean): void {
    this.#fairness.note(artifact, failed)
  }

  /** The artifact's number is free for another. */
  forgetArtifact(artifact: number): void {
    this.#fairness.forget(artifact)
  }

  /** How many devices may do it, free or not. */
  eligible(demand: Demand): number {
    return this.#lines.view(demand).eligibleCount
  }

  /** When work that was left for a busy device must be looked at again (`placeLeft`) although nothing happened. */
  nextLookMs(): number {
    return this.#promises.nextMs()
  }

  /** For work that just came: the free device that finishes it first, unless a busy one will sooner by far. */
  placeNew(work: PendingWork, nowMs: number): Placement | null {
    const { artifact } = work.demand
    const line = this.#lines.view(work.demand)
    const best = this.#bestFree(line, artifact, work.deadlineMs - nowMs)
    if (best === null || nowMs + this.#latency.leastMs(best, artifact) > work.deadlineMs) return null
    if (this.#waitsForBusy(work, line, this.#latency.expectedMs(best, artifact), nowMs)) return null
    return this.forget(work) ? this.#bind(work, best, nowMs) : null
  }

  /** The waiting work that this free device should do now, or null: nothing it may do would be right here. */
  placeOn(device: number, nowMs: number): Placement | null {
    if (this.#devices.slots(device) <= 0) return null
    const best: Best = { work: undefined, score: Number.NEGATIVE_INFINITY }
    for (const line of this.#lines.busy)
      if (line.mayUse(device, this.#devices)) this.#consider(line, device, nowMs, best)
    for (const line of this.#lines.ofDevice(device))
      if (line.mayUse(device, this.#devices)) this.#consider(line, device, nowMs, best)
    if (best.work === undefined || !this.forget(best.work)) return null
    return this.#bind(best.work, device, nowMs)
  }

  /** Idle devices beside waiting work: what was left for a busy device that then took other work is looked at again. */
  placeLeft(nowMs: number): Placement | null {
    if (this.#waiting === 0 || this.#devices.freeSlots === 0) return null
    for (const line of this.#lines.all())
      for (const queue of line.queues.values()) {
        const work = queue.at(queue.firstFrom(nowMs))
        const placement = work === undefined ? null : this.placeNew(work, nowMs)
        if (placement !== null) return placement
      }
    return null
  }

  /** Work that no eligible device can finish in time any more, taken out. Without a device it waits for its deadline. */
  takeHopeless(nowMs: number): PendingWork[] {
    const hopeless: PendingWork[] = []
    for (const line of this.#lines.all()) {
      if (line.waiting === 0) continue
      const least = this.#leastMs(line)
      for (const queue of line.queues.values()) {
        for (let head = queue.at(0); head !== undefined && isHopeless(head, nowMs, least); head = queue.at(0)) {
          hopeless.push(queue.take(0))
          line.waiting -= 1
        }
      }
      this.#lines.settle(line)
    }
    for (const work of hopeless) this.#promises.dropWork(work)
    this.#waiting -= hopeless.length
    return hopeless
  }

  /** Predicted latency on the fastest kind that has an eligible device; infinite without one. */
  fastestMs(demand: Demand): number {
    return this.#fastestMs(this.#lines.view(demand))
  }

  #fastestMs(line: Line): number {
    let log = Number.POSITIVE_INFINITY
    for (let kind = 0; kind < this.#devices.kinds.length; kind++)
      if (line.eligibleOfKind(kind) > 0) log = Math.min(log, this.#latency.kindLogMs(kind, line.demand.artifact))
    return Math.exp(log)
  }

  /** What the fastest eligible kind may need at least, by what is known of it; zero without one. */
  #leastMs(line: Line): number {
    if (line.eligibleCount === 0) return 0
    let log = Number.POSITIVE_INFINITY
    for (let kind = 0; kind < this.#devices.kinds.length; kind++)
      if (line.eligibleOfKind(kind) > 0) log = Math.min(log, this.#latency.kindLeastLogMs(kind, line.demand.artifact))
    return Math.exp(log)
  }

  #consider(line: Line, device: number, nowMs: number, best: Best): void {
    const { artifact } = line.demand
    const ms = this.#latency.expectedMs(device, artifact)
    const leastMs = this.#latency.leastMs(device, artifact)
    for (const [priority, queue] of line.queues) {
      if (queue.size === 0 || (best.work !== undefined && priority < best.work.priority)) continue
      const work = queue.at(queue.firstFrom(nowMs + leastMs))
      if (work === undefined || this.#waitsForBusy(work, line, ms, nowMs)) continue
      const score = this.#score(work, line, ms, nowMs)
      if (best.work !== undefined && priority === best.work.priority) {
        if (score < best.score || (score === best.score && !isOlder(work, best.work))) continue
      }
      best.work = work
      best.score = score
    }
  }

  /**
   * Whether a busy device that no other work waits for will have done it in `waitRatio` of `ms`, and in time. Never for
   * longer in all than the free device would have taken, so that it is not passed on from one to the next for ever.
   */
  #waitsForBusy(work: PendingWork, line: Line, ms: number, nowMs: number): boolean {
    const { waitRatio } = this.#config
    if (waitRatio === 0 || nowMs - (this.#promises.sinceMs(work) ?? nowMs) > ms) return false
    const limitMs = Math.min(nowMs + waitRatio * ms, work.deadlineMs)
    for (let kind = 0; kind < this.#devices.kinds.length; kind++) {
      if (line.eligibleOfKind(kind) === 0) continue
      const soonest = this.#devices.soonestFree(kind, nowMs, limitMs)
      if (soonest === undefined) continue
      const { device, untilMs } = soonest
      if (!line.mayUse(device, this.#devices)) continue
      if (untilMs + this.#latency.expectedMs(device, work.demand.artifact) > limitMs) continue
      const other = this.#promises.of(device)
      if (other !== undefined && other !== work) continue
      this.#promises.give(device, work, untilMs, nowMs)
      return true
    }
    return false
  }

  #score(work: PendingWork, line: Line, ms: number, nowMs: number): number {
    const { urgency, affinity, shortness, fairness, deadlineOnly } = this.#config
    if (deadlineOnly) return -work.deadlineMs
    // Without a deadline age makes it urgent, so that it is not passed over for ever.
    const slackMs = Math.max(0, Math.min(work.deadlineMs - nowMs - ms, DAY_MS - (nowMs - work.submittedAtMs)))
    return (
      -urgency * Math.log(slackMs + 0.1 * ms + 1e-6) -
      affinity * Math.log(ms / this.#fastestMs(line)) -
      shortness * Math.log(ms) +
      fairness * this.#fairness.logShare(work.demand.artifact)
    )
  }

  /** Among what makes the deadline with room for noise, the least cost: time, dearer on kinds that are fast at everything. */
  #bestFree(line: Line, artifact: number, slackMs: number): number | null {
    const only = line.demand.device
    if (only !== undefined) return line.eligibleCount > 0 && this.#devices.slots(only) > 0 ? only : null
    let best: number | null = null
    let bestCost = Number.POSITIVE_INFINITY
    const roomLog = slackMs > 0 ? Math.log(slackMs / 1.25) : Number.NEGATIVE_INFINITY
    for (let kind = 0; kind < this.#devices.kinds.length; kind++) {
      if (line.eligibleOfKind(kind) === 0) continue
      const { members, free } = this.#devices.kinds[kind] as Kind
      const eligible = line.eligibleBits(kind)
      let place = firstCommon(free, eligible)
      if (place < 0) continue
      const kindLog = this.#latency.kindLogMs(kind, artifact)
      const dearness = this.#config.thrift * this.#latency.kindSlowness(kind)
      for (let tried = 0; place >= 0 && tried < TRIED_OF_KIND; tried++) {
        const device = members[place] as number
        const log = kindLog + this.#latency.deviceLogFactor(device)
        // What is tight comes after all that is not, the fastest first.
        const cost = log > roomLog ? 1e6 + log : log - dearness
        if (cost < bestCost) {
          best = device
          bestCost = cost
        }
        place = firstCommon(free, eligible, place + 1)
      }
    }
    return best
  }

  #bind(work: PendingWork, device: number, nowMs: number): Placement {
    const predictedFinishMs = nowMs + this.#latency.expectedMs(device, work.demand.artifact)
    this.#devices.take(device, predictedFinishMs)
    if (this.#devices.slots(device) > 0) this.#promises.dropDevice(device)
    return { work, device, predictedFinishMs }
  }
}

type Best = { work: PendingWork | undefined; score: number }

const isHopeless = (work: PendingWork, nowMs: number, leastMs: number): boolean =>
  work.deadlineMs <= nowMs || work.deadlineMs < nowMs + leastMs

const isOlder = (a: PendingWork, b: PendingWork): boolean =>
  a.deadlineMs < b.deadlineMs || (a.deadlineMs === b.deadlineMs && a.order < b.order)
