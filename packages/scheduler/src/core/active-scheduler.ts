import type { LatencyModel } from '../profiles/latency-model.ts'
import { bitmapFor, clearBit, firstCommon, hasBit, setBit } from './bitmap.ts'
import { DeadlineQueue, type Queued } from './deadline-queue.ts'
import { MinHeap } from './min-heap.ts'

export type Demand = {
  /** Equal for work that the same devices can do: pool, selector, tolerations, target. */
  key: string
  artifact: number
  /** The hard filters' verdict; asked once per device, and again when `deviceChanged` says so. */
  admits: (device: number) => boolean
}
export type PendingWork = Queued & { id: string; demand: Demand; priority: number; submittedAtMs: number }
export type Placement = { work: PendingWork; device: number; predictedFinishMs: number }
export type SchedulerConfig = {
  /** The earliest deadline alone decides: the peer that the scores are measured against. */
  deadlineOnly: boolean
  /** How strongly work with little time left goes first. */
  urgency: number
  /** How strongly work that costs a device more time than its peers waits for them; 0 ignores it. */
  affinity: number
  /** How strongly short work goes before long work that is as urgent. */
  shortness: number
  /** How strongly models that missed more than others go first. */
  fairness: number
  /** How much dearer a fast kind's time is: 0 sends new work to what finishes it first, 1 to what is best at it. */
  thrift: number
  /** Jobs held here at most; beyond it they wait in their pool. */
  bound: number
  /** A job leaves a free device alone when a busy one will have done it in this share of the time; 0 never waits. */
  waitRatio: number
}
export const DEFAULT_SCHEDULER_CONFIG: SchedulerConfig = {
  deadlineOnly: false,
  urgency: 0.5,
  affinity: 1,
  shortness: 1,
  fairness: 0.3,
  thrift: 0.5,
  bound: 50_000,
  waitRatio: 0.4
}

const DAY_MS = 86_400_000

type Busy = { untilMs: number; device: number }
type Line = {
  demand: Demand
  queues: Map<number, DeadlineQueue<PendingWork>>
  /** By kind. */
  eligible: Uint32Array[]
  eligibleCount: number
}

/** The decisions of the active scheduler. It owns the waiting work and the devices' free slots, and nothing else. */
export class ActiveScheduler {
  readonly #latency: LatencyModel
  readonly #config: SchedulerConfig
  readonly #kindOf: Int32Array
  readonly #place: Int32Array
  readonly #members: Int32Array[]
  readonly #free: Uint32Array[]
  readonly #slots: Int32Array
  readonly #lines = new Map<string, Line>()
  readonly #asked: Float64Array
  readonly #failed: Float64Array
  #allAsked = 1
  #allFailed = 0
  /** By kind, the soonest free first; entries that no longer hold are dropped when they come up. */
  readonly #busy: MinHeap<Busy>[]
  readonly #busyUntilMs: Float64Array
  /** The waiting work that a busy device was left for: one each, so that not all wait for the same. */
  readonly #promised = new Map<number, PendingWork>()
  #waiting = 0
  #freeSlots = 0

  constructor(latency: LatencyModel, kindOf: Int32Array, kinds: number, config: Partial<SchedulerConfig> = {}) {
    this.#latency = latency
    this.#config = { ...DEFAULT_SCHEDULER_CONFIG, ...config }
    this.#kindOf = kindOf
    this.#place = new Int32Array(kindOf.length)
    const members: number[][] = Array.from({ length: kinds }, () => [])
    kindOf.forEach((kind, device) => {
      const own = members[kind] as number[]
      this.#place[device] = own.length
      own.push(device)
    })
    this.#members = members.map((own) => Int32Array.from(own))
    this.#free = members.map((own) => bitmapFor(own.length))
    this.#slots = new Int32Array(kindOf.length)
    this.#busy = members.map(() => new MinHeap<Busy>((a, b) => a.untilMs < b.untilMs))
    this.#busyUntilMs = new Float64Array(kindOf.length)
    this.#asked = new Float64Array(latency.artifacts)
    this.#failed = new Float64Array(latency.artifacts)
  }

  get waiting(): number {
    return this.#waiting
  }

  get freeSlots(): number {
    return this.#freeSlots
  }

  /** False at the bound: the job stays in its pool, and submitters are told to come later. */
  offer(work: PendingWork): boolean {
    if (this.#waiting >= this.#config.bound) return false
    const line = this.#line(work.demand)
    let queue = line.queues.get(work.priority)
    if (queue === undefined) {
      queue = new DeadlineQueue()
      line.queues.set(work.priority, queue)
    }
    queue.push(work)
    this.#waiting += 1
    return true
  }

  forget(work: PendingWork): boolean {
    if (this.#lines.get(work.demand.key)?.queues.get(work.priority)?.remove(work) !== true) return false
    this.#waiting -= 1
    return true
  }

  setSlots(device: number, free: number): void {
    const kind = this.#kindOf[device] as number
    const bitmap = this.#free[kind] as Uint32Array
    this.#freeSlots += free - (this.#slots[device] as number)
    this.#slots[device] = free
    if (free > 0) this.#promised.delete(device)
    if (free > 0) setBit(bitmap, this.#place[device] as number)
    else clearBit(bitmap, this.#place[device] as number)
  }

  slots(device: number): number {
    return this.#slots[device] as number
  }

  /** Its labels, state, health or artifacts changed: the filters are asked again. */
  deviceChanged(device: number): void {
    const kind = this.#kindOf[device] as number
    const place = this.#place[device] as number
    for (const line of this.#lines.values()) {
      const bitmap = line.eligible[kind] as Uint32Array
      const was = hasBit(bitmap, place)
      const is = line.demand.admits(device)
      if (was === is) continue
      line.eligibleCount += is ? 1 : -1
      if (is) setBit(bitmap, place)
      else clearBit(bitmap, place)
    }
  }

  /** What became of a request of this artifact, for fairness between models. */
  noteOutcome(artifact: number, failed: boolean): void {
    this.#asked[artifact] = (this.#asked[artifact] as number) + 1
    this.#allAsked += 1
    if (!failed) return
    this.#failed[artifact] = (this.#failed[artifact] as number) + 1
    this.#allFailed += 1
  }

  /** For work that just came: the free device that finishes it first, unless a busy one will sooner by far. */
  placeNew(work: PendingWork, nowMs: number): Placement | null {
    const line = this.#line(work.demand)
    const best = this.#bestFree(line, work.demand.artifact, work.deadlineMs - nowMs)
    if (best === null) return null
    const ms = this.#latency.expectedMs(best, work.demand.artifact)
    if (nowMs + ms > work.deadlineMs || this.#waitsForBusy(work, line, ms, nowMs)) return null
    return this.forget(work) ? this.#bind(work, best, nowMs, ms) : null
  }

  /** The waiting work that this free device should do now, or null: nothing it may do would be right here. */
  placeOn(device: number, nowMs: number): Placement | null {
    if ((this.#slots[device] as number) <= 0) return null
    const kind = this.#kindOf[device] as number
    const place = this.#place[device] as number
    let best: PendingWork | undefined
    let bestPriority = Number.NEGATIVE_INFINITY
    let bestScore = Number.NEGATIVE_INFINITY
    for (const line of this.#lines.values()) {
      if (!hasBit(line.eligible[kind] as Uint32Array, place)) continue
      const ms = this.#latency.expectedMs(device, line.demand.artifact)
      for (const [priority, queue] of line.queues) {
        if (priority < bestPriority || queue.size === 0) continue
        const work = queue.at(queue.firstFrom(nowMs + ms))
        if (work === undefined) continue
        if (this.#waitsForBusy(work, line, ms, nowMs)) continue
        const score = this.#score(work, line, ms, nowMs)
        if (priority > bestPriority || score > bestScore) {
          best = work
          bestScore = score
          bestPriority = priority
        }
      }
    }
    if (best === undefined || !this.forget(best)) return null
    return this.#bind(best, device, nowMs, this.#latency.expectedMs(device, best.demand.artifact))
  }

  /** Idle devices beside waiting work: what was left for a busy device that then took other work is looked at again. */
  placeLeft(nowMs: number): Placement | null {
    if (this.#waiting === 0 || this.#freeSlots === 0) return null
    for (const line of this.#lines.values())
      for (const queue of line.queues.values()) {
        const work = queue.at(queue.firstFrom(nowMs))
        const placement = work === undefined ? null : this.placeNew(work, nowMs)
        if (placement !== null) return placement
      }
    return null
  }

  /** Work that no eligible device can finish in time any more, taken out. */
  takeHopeless(nowMs: number): PendingWork[] {
    const hopeless: PendingWork[] = []
    for (const line of this.#lines.values()) {
      const fastestMs = this.fastestMs(line.demand)
      for (const queue of line.queues.values()) {
        for (let head = queue.at(0); head !== undefined && head.deadlineMs < nowMs + fastestMs; head = queue.at(0)) {
          hopeless.push(queue.take(0))
          this.#waiting -= 1
        }
      }
    }
    return hopeless
  }

  /** Predicted latency on the fastest kind that has an eligible device; infinite without one. */
  fastestMs(demand: Demand): number {
    const line = this.#line(demand)
    let log = Number.POSITIVE_INFINITY
    line.eligible.forEach((bitmap, kind) => {
      if (firstCommon(bitmap, bitmap) >= 0) log = Math.min(log, this.#latency.kindLogMs(kind, demand.artifact))
    })
    return Math.exp(log)
  }

  eligibleCount(demand: Demand): number {
    return this.#line(demand).eligibleCount
  }

  /** Whether a busy device that no other work waits for will have done it in `waitRatio` of `ms`, and in time. */
  #waitsForBusy(work: PendingWork, line: Line, ms: number, nowMs: number): boolean {
    const limitMs = Math.min(nowMs + this.#config.waitRatio * ms, work.deadlineMs)
    if (this.#config.waitRatio === 0) return false
    for (let kind = 0; kind < this.#members.length; kind++) {
      const soonest = this.#soonestFree(kind)
      if (soonest === undefined) continue
      const { device, untilMs } = soonest
      if (!hasBit(line.eligible[kind] as Uint32Array, this.#place[device] as number)) continue
      // A run that is later than predicted says nothing of when it will end.
      if (untilMs < nowMs || untilMs + this.#latency.expectedMs(device, work.demand.artifact) > limitMs) continue
      const other = this.#promised.get(device)
      if (other !== undefined && other !== work) continue
      this.#promised.set(device, work)
      return true
    }
    return false
  }

  #soonestFree(kind: number): Busy | undefined {
    const heap = this.#busy[kind] as MinHeap<Busy>
    for (let top = heap.peek(); top !== undefined; top = heap.peek()) {
      if ((this.#slots[top.device] as number) === 0 && this.#busyUntilMs[top.device] === top.untilMs) return top
      heap.pop()
    }
    return undefined
  }

  #score(work: PendingWork, line: Line, ms: number, nowMs: number): number {
    const { urgency, affinity, shortness, fairness, deadlineOnly } = this.#config
    if (deadlineOnly) return -work.deadlineMs
    const fastestMs = this.fastestMs(line.demand)
    // Without a deadline age makes it urgent, so that it is not passed over for ever.
    const slackMs = Math.max(0, Math.min(work.deadlineMs - nowMs - ms, DAY_MS - (nowMs - work.submittedAtMs)))
    const a = work.demand.artifact
    const share = ((this.#failed[a] as number) + 1) / ((this.#asked[a] as number) + 10)
    const common = (this.#allFailed + 1) / (this.#allAsked + 10)
    return (
      -urgency * Math.log(slackMs + 0.1 * ms + 1e-6) -
      affinity * Math.log(ms / fastestMs) -
      shortness * Math.log(ms) +
      fairness * Math.log(share / common)
    )
  }

  /**
   * Among what makes the deadline with room for noise, the least cost: time, dearer on kinds that are fast at everything.
   * Per kind the first few free ones stand for all: devices of a kind differ little, and drifting ones show at once.
   */
  #bestFree(line: Line, artifact: number, slackMs: number): number | null {
    let best: number | null = null
    let bestCost = Number.POSITIVE_INFINITY
    const roomLog = Math.log(slackMs / 1.25)
    for (let kind = 0; kind < this.#members.length; kind++) {
      const members = this.#members[kind] as Int32Array
      const free = this.#free[kind] as Uint32Array
      const eligible = line.eligible[kind] as Uint32Array
      let place = firstCommon(free, eligible)
      if (place < 0) continue
      const kindLog = this.#latency.kindLogMs(kind, artifact)
      for (let tried = 0; place >= 0 && tried < 8; tried++) {
        const device = members[place] as number
        const log = kindLog + this.#latency.deviceLogFactor(device)
        // What is tight comes after all that is not, the fastest first.
        const cost = log > roomLog ? 1e6 + log : log - this.#config.thrift * this.#latency.kindSlowness(kind)
        if (cost < bestCost) {
          best = device
          bestCost = cost
        }
        place = firstCommon(free, eligible, place + 1)
      }
    }
    return best
  }

  #bind(work: PendingWork, device: number, nowMs: number, ms: number): Placement {
    this.setSlots(device, (this.#slots[device] as number) - 1)
    this.#busyUntilMs[device] = nowMs + ms
    if ((this.#slots[device] as number) === 0)
      this.#busy[this.#kindOf[device] as number]?.push({ untilMs: nowMs + ms, device })
    return { work, device, predictedFinishMs: nowMs + ms }
  }

  #line(demand: Demand): Line {
    let line = this.#lines.get(demand.key)
    if (line !== undefined) return line
    let eligibleCount = 0
    const eligible = this.#members.map((own) => {
      const bitmap = bitmapFor(own.length)
      own.forEach((device, place) => {
        if (!demand.admits(device)) return
        setBit(bitmap, place)
        eligibleCount += 1
      })
      return bitmap
    })
    line = { demand, queues: new Map(), eligible, eligibleCount }
    this.#lines.set(demand.key, line)
    return line
  }
}
