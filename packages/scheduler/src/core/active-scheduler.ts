import type { AdmissionCandidate } from '../admission.ts'
import type { LatencyModel } from '../profiles/latency-model.ts'
import { type Candidate, newCandidate } from '../scores/candidate.ts'
import { WeightedScores } from '../scores/weights.ts'
import { BestWork } from './best-work.ts'
import { BusyDevice } from './busy-device.ts'
import { Candidates } from './candidates.ts'
import { type Demand, type PendingWork, type Placement, poolOf } from './demand.ts'
import { DeviceTable } from './device-table.ts'
import { Fairness } from './fairness.ts'
import { FinishTimes } from './finish-times.ts'
import { FreeDevice } from './free-device.ts'
import { HopelessWatch } from './hopeless-watch.ts'
import type { Line } from './line.ts'
import { LineTable } from './line-table.ts'
import { type MeasurementWish, MeasurementWishes } from './measurement-wishes.ts'
import { byFirstWork } from './order.ts'
import { outlookOf } from './outlook.ts'
import { Promises } from './promises.ts'
import { type ColdStartMs, Residency } from './residency.ts'
import { Room } from './room.ts'
import { DEFAULT_SCHEDULER_CONFIG, type SchedulerConfig } from './scheduler-config.ts'
import { Traits } from './traits.ts'

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
  readonly #fairness: Fairness
  readonly #room: Room
  readonly #residency: Residency
  readonly #times: FinishTimes
  readonly #wishes: MeasurementWishes
  readonly #hopeless: HopelessWatch
  readonly #traits = new Traits()
  readonly #candidates: Candidates
  readonly #bestWork: BestWork
  readonly #freeDevice: FreeDevice
  readonly #busyDevice: BusyDevice
  /** Lines with work that may have a place which nobody looked for yet. */
  readonly #toLookAt = new Set<Line>()
  /** Devices with more free slots than when they were last looked at. */
  readonly #freed = new Set<number>()

  /** Without `coldStartMs` every artifact is loaded wherever the filters admit it, and `setLoaded` says nothing. */
  constructor(latency: LatencyModel, config: Partial<SchedulerConfig> = {}, coldStartMs?: ColdStartMs) {
    this.#latency = latency
    this.#config = { ...DEFAULT_SCHEDULER_CONFIG, ...config }
    this.#fairness = new Fairness(this.#config.fairnessHalfLifeMs)
    this.#wishes = new MeasurementWishes(this.#config.remeasureMs)
    this.#room = new Room(this.#config.bound, this.#config.lineBound)
    this.#lines = new LineTable(this.#devices, this.#room, this.#config)
    this.#residency = new Residency(this.#devices, coldStartMs)
    this.#times = new FinishTimes(latency, this.#devices, this.#residency)
    this.#hopeless = new HopelessWatch(this.#lines, this.#times)
    const { agingMs, weights } = this.#config
    const [devices, lines, times] = [this.#devices, this.#lines, this.#times]
    const candidates = new Candidates({
      ...{ latency, devices, residency: this.#residency, times },
      ...{ traits: this.#traits, fairness: this.#fairness, agingMs }
    })
    this.#candidates = candidates
    this.#bestWork = new BestWork({
      ...{ devices, lines, times, candidates, scores: new WeightedScores(weights.work), config: this.#config },
      waits: (work, line, device, ms, nowMs) => this.#waitsForBusy(work, line, device, ms, nowMs)
    })
    this.#freeDevice = new FreeDevice(devices, this.#residency, candidates, new WeightedScores(weights.device))
    this.#busyDevice = new BusyDevice(this.#devices, this.#residency, this.#times, this.#promises, this.#config)
  }

  get waiting(): number {
    return this.#room.works
  }

  get freeSlots(): number {
    return this.#devices.freeSlots
  }

  /** Demands that are kept, with or without work. */
  get lines(): number {
    return this.#lines.size
  }

  /** Looks for hopeless work that are due at some time. */
  get looks(): number {
    return this.#hopeless.size
  }

  addDevice(device: number, kind: number, freeSlots: number): void {
    if (this.#devices.has(device)) throw new RangeError(`device ${device} is there already`)
    this.#devices.add(device, kind)
    this.#traits.add(device, kind)
    this.deviceChanged(device)
    this.setSlots(device, freeSlots)
  }

  /** It vanished: nothing is placed there any more, and what was left for it is looked at again. */
  removeDevice(device: number): void {
    if (!this.#devices.has(device)) return
    this.#freed.delete(device)
    this.#promises.dropDevice(device)
    for (const line of this.#lines.ask(device, false).lost) this.#hopeless.lookSoon(line)
    this.#residency.dropDevice(device)
    this.#wishes.dropDevice(device)
    this.#traits.remove(device)
    this.#devices.remove(device)
  }

  hasDevice(device: number): boolean {
    return this.#devices.has(device)
  }

  /** Slots free now; a placement has taken its own already. More than before: as many runs ended, the oldest ones. */
  setSlots(device: number, free: number): void {
    if (!this.#devices.has(device)) return
    if (free > this.#devices.slots(device)) this.#freed.add(device)
    this.#devices.setSlots(device, free)
    if (free > 0) this.#promises.dropDevice(device)
  }

  slots(device: number): number {
    return this.#devices.slots(device)
  }

  /** This run ended, or never began; its slot is free again unless the device is gone. */
  release(placement: Placement): void {
    const { device, predictedFinishMs } = placement
    if (!this.#devices.has(device)) return
    this.#devices.release(device, predictedFinishMs)
    this.#freed.add(device)
    if (this.#devices.slots(device) > 0) this.#promises.dropDevice(device)
  }

  /** Its labels, state, health or artifacts changed: the filters are asked again. */
  deviceChanged(device: number): void {
    if (!this.#devices.has(device)) return
    const { gained, lost } = this.#lines.ask(device, true)
    for (const line of gained) if (line.waiting > 0) this.#toLookAt.add(line)
    // Without any device it waited for its deadline; the first one says when that is hopeless.
    for (const line of [...gained, ...lost]) this.#hopeless.lookSoon(line)
  }

  /** The power that it draws by its last word; kept while it is away. */
  noteWatts(device: number, watts: number): void {
    this.#traits.noteWatts(device, watts)
  }

  /** All that is loaded there now, by the device's own word; what is placed there is loaded by its run. */
  setLoaded(device: number, artifacts: Iterable<number>): void {
    if (!this.#devices.has(device)) return
    const { come, gone } = this.#residency.set(device, artifacts)
    if (come.length + gone.length === 0) return
    for (const line of [...this.#lines.busy, ...this.#lines.ofDevice(device)]) {
      if (!line.mayUse(device, this.#devices)) continue
      if (come.includes(line.demand.artifact)) this.#toLookAt.add(line)
      if (gone.includes(line.demand.artifact)) this.#hopeless.lookSoon(line)
    }
  }

  /** What this demand's filters read beside the devices has changed: for these devices they are asked again. */
  demandChanged(key: string, devices: Iterable<number>): void {
    const line = this.#lines.find(key)
    if (line === undefined) return
    this.#lines.askOf(line, devices)
    this.#hopeless.lookSoon(line)
    if (line.waiting > 0) this.#toLookAt.add(line)
  }

  /** What work like this would meet if it came now; empty when no device that is there may do it. */
  outlook(work: Pick<PendingWork, 'demand' | 'priority' | 'deadlineMs'>, nowMs: number): AdmissionCandidate[] {
    return outlookOf(this.#lines.view(work.demand), this.#devices, this.#latency, this.#residency, work, nowMs)
  }

  /** What the scores read of work on this device, with so much time until its deadline. */
  candidate(device: number, artifact: number, leftMs: number, nowMs: number): Candidate {
    if (!this.#devices.has(device)) return newCandidate()
    return { ...this.#candidates.ofDevice(device, artifact, leftMs, this.freeInMs(device, nowMs)) }
  }

  /** Until a slot of the device should be free. */
  freeInMs(device: number, nowMs: number): number {
    return this.#devices.has(device) ? this.#devices.freeInMs(device, nowMs) : 0
  }

  /** How many more jobs of this pool and class `offer` takes at least, whatever devices they ask for. */
  room(pool: string, priority: number): number {
    return this.#room.of(pool, priority)
  }

  /** False when its pool or class has used its room: it stays in its pool, and submitters are told to come later. */
  offer(work: PendingWork): boolean {
    const pool = poolOf(work.demand)
    if (!this.#room.takes(pool, work.priority, this.#lines.needsLine(work.demand))) return false
    this.#room.add(pool, work.priority)
    const line = this.#lines.push(work)
    this.#toLookAt.add(line)
    this.#hopeless.joined(work, line)
    return true
  }

  forget(work: PendingWork): boolean {
    const line = this.#lines.remove(work)
    if (line !== undefined) this.#left(work, line)
    return line !== undefined
  }

  /** A pool or deployment is gone: the work that waited under the key, taken out. */
  dropLine(key: string): PendingWork[] {
    const line = this.#lines.find(key)
    if (line === undefined) return []
    const works = [...line.works()]
    this.#lines.drop(line)
    for (const work of works) this.#left(work, line)
    return works
  }

  /** By class, then deadline, then age. Not to be changed meanwhile. */
  waitingOf(key: string): Iterable<PendingWork> {
    return this.#lines.find(key)?.works() ?? []
  }

  /** What became of a request of this artifact, for fairness between models. */
  noteOutcome(artifact: number, failed: boolean, nowMs: number): void {
    this.#fairness.note(artifact, failed, nowMs)
  }

  /** The artifact's number is free for another. */
  forgetArtifact(artifact: number): void {
    this.#fairness.forget(artifact)
    this.#residency.forgetArtifact(artifact)
    this.#wishes.forgetArtifact(artifact)
  }

  /** Work like this was refused by the prediction; `takeHopeless` knows of its own. */
  noteRefused(demand: Demand, nowMs: number): void {
    this.#noteRefused(this.#lines.view(demand), nowMs)
  }

  /** What should be timed again, each once: work is refused for what was learnt of it `remeasureMs` ago or longer. */
  takeMeasurementWishes(): MeasurementWish[] {
    return this.#wishes.take()
  }

  /** How many devices may do it, free or not. */
  eligible(demand: Demand): number {
    return this.#lines.view(demand).eligibleCount
  }

  /** When work that was left for a busy device must be looked at again (`place`) although nothing happened. */
  nextLookMs(): number {
    return this.#promises.nextMs()
  }

  /**
   * The next placement, until null: devices that became free or came take what is best there, then what was offered, or
   * left for a device that did not become free, is looked at. All that the caller needs to ask after any change.
   */
  place(nowMs: number): Placement | null {
    for (const device of this.#freed) {
      const work = this.#bestWork.bestFor(device, nowMs)
      if (work === undefined) {
        this.#freed.delete(device)
        continue
      }
      // Where several are free, the work goes to the right one of them.
      const right = this.#freeDevice.bestFor(this.#lines.view(work.demand), work.deadlineMs - nowMs)
      return this.#bind(work, right !== null && this.#makesIt(work, right, nowMs) ? right : device, nowMs)
    }
    return this.placeLeft(nowMs)
  }

  /** For work that just came: the free device that finishes it first, unless a busy one will sooner by far. */
  placeNew(work: PendingWork, nowMs: number): Placement | null {
    const line = this.#lines.view(work.demand)
    const best = this.#freeDevice.bestFor(line, work.deadlineMs - nowMs)
    return best === null ? null : this.#placeUnlessLeft(work, line, best, nowMs)
  }

  /** The waiting work that this free device should do now, or null: nothing it may do would be right here. */
  placeOn(device: number, nowMs: number): Placement | null {
    const work = this.#bestWork.bestFor(device, nowMs)
    if (work !== undefined) return this.#bind(work, device, nowMs)
    this.#freed.delete(device)
    return null
  }

  /** Idle devices beside waiting work: what was offered, or left for a busy device that then took other work. */
  placeLeft(nowMs: number): Placement | null {
    if (this.waiting === 0 || this.#devices.freeSlots === 0) return null
    const lines = [...this.#toLookAt].filter((line) => line.waiting > 0)
    if (lines.length > 1) lines.sort(byFirstWork)
    for (const line of lines) {
      const placement = this.#placeFrom(line, nowMs)
      if (placement !== null) return placement
    }
    return null
  }

  /** Work that no eligible device can finish in time any more, taken out. Without a device it waits for its deadline. */
  takeHopeless(nowMs: number): PendingWork[] {
    const all: PendingWork[] = []
    for (const { line, works } of this.#hopeless.take(nowMs)) {
      this.#lines.settle(line)
      for (const work of works) {
        this.#left(work, line)
        all.push(work)
      }
      this.#noteRefused(line, nowMs)
    }
    return all
  }

  /** Predicted latency on the fastest kind that has an eligible device; infinite without one. */
  fastestMs(demand: Demand): number {
    return this.#times.fastestMs(this.#lines.view(demand))
  }

  #placeFrom(line: Line, nowMs: number): Placement | null {
    for (const { queue } of line.lanes) {
      const first = queue.firstFrom(nowMs)
      for (let i = first; i < first + this.#config.laneDepth; i++) {
        const work = queue.at(i)
        if (work === undefined) break
        const best = this.#freeDevice.bestFor(line, work.deadlineMs - nowMs)
        // Until one that it may use becomes free, comes or changes, which brings it back.
        if (best === null) {
          this.#toLookAt.delete(line)
          return null
        }
        const placement = this.#placeUnlessLeft(work, line, best, nowMs)
        if (placement !== null) return placement
      }
    }
    return null
  }

  #placeUnlessLeft(work: PendingWork, line: Line, device: number, nowMs: number): Placement | null {
    if (!this.#makesIt(work, device, nowMs)) return null
    if (this.#waitsForBusy(work, line, device, this.#times.expectedMs(device, work.demand.artifact), nowMs)) return null
    return this.#bind(work, device, nowMs)
  }

  #makesIt(work: PendingWork, device: number, nowMs: number): boolean {
    return nowMs + this.#times.leastMs(device, work.demand.artifact) <= work.deadlineMs
  }

  /** Whether the work stays for a busy device: one that will have done it in `waitRatio` of `ms`. */
  #waitsForBusy(work: PendingWork, line: Line, device: number, ms: number, nowMs: number): boolean {
    if (!this.#busyDevice.isWorthWaiting(work, line, device, ms, nowMs)) return false
    this.#toLookAt.add(line)
    return true
  }

  #bind(work: PendingWork, device: number, nowMs: number): Placement | null {
    if (!this.forget(work)) return null
    const predictedFinishMs = nowMs + this.#times.expectedMs(device, work.demand.artifact)
    this.#devices.take(device, predictedFinishMs)
    this.#residency.add(device, work.demand.artifact)
    this.#traits.noteRun(device)
    this.#wishes.noteRun(this.#devices.kindOf(device), work.demand.artifact, nowMs)
    return { work, device, predictedFinishMs }
  }

  #noteRefused(line: Line, nowMs: number): void {
    const { artifact, device: only } = line.demand
    const kinds = [...this.#devices.kinds.keys()].filter((each) => line.eligibleOfKind(each) > 0)
    const kind = this.#wishes.stalest(kinds, artifact, nowMs)
    if (kind === undefined) return
    const device = only ?? this.#freeDevice.anyOf(line, kind)
    this.#wishes.add({ device, artifact }, kind, nowMs)
    this.#latency.doubts.add(kind, artifact)
  }

  #left(work: PendingWork, line: Line): void {
    this.#promises.dropWork(work)
    this.#room.remove(poolOf(work.demand), work.priority)
    if (line.waiting === 0) this.#toLookAt.delete(line)
  }
}
