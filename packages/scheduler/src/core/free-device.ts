import type { LatencyModel } from '../profiles/latency-model.ts'
import { firstCommon } from './bitmap.ts'
import type { DeviceTable, Kind } from './device-table.ts'
import type { FinishTimes } from './finish-times.ts'
import type { Line } from './line.ts'
import type { Residency } from './residency.ts'

/** Of a kind's free devices the first few stand for all: they differ little, and drifting ones show at once. */
const TRIED_OF_KIND = 8
const TRIED_WHEN_TIGHT = 64
/** Cost of a device that hardly makes the deadline, beyond that of all that may: the fastest of those is taken. */
const TIGHT = 1e6
const HARDLY = Math.log(0.02)
/** With a chance above this no further device of the kind need be looked for. */
const SURE = Math.log(0.9)
/** With so many times of what a measured run takes, it is in time. */
const AMPLE = 4

/** Chooses among the free devices that may do a line's work. */
export class FreeDevice {
  readonly #latency: LatencyModel
  readonly #devices: DeviceTable
  readonly #residency: Residency
  readonly #times: FinishTimes
  readonly #thrift: number
  readonly #certainty: number
  #best: number | null = null
  #bestCost = Number.POSITIVE_INFINITY
  #isSure = false
  #leftMs = 0
  #roomLog = 0

  constructor(
    latency: LatencyModel,
    devices: DeviceTable,
    residency: Residency,
    times: FinishTimes,
    weights: { thrift: number; certainty: number }
  ) {
    this.#latency = latency
    this.#devices = devices
    this.#residency = residency
    this.#times = times
    this.#thrift = weights.thrift
    this.#certainty = weights.certainty
  }

  /**
   * The least cost for work that has `leftMs`, or null when none is free: the logarithm of the time (a cold start
   * included) over the chance to be in time, dearer on kinds that are fast at everything.
   */
  bestFor(line: Line, leftMs: number): number | null {
    const { artifact, device: only } = line.demand
    if (only !== undefined) return line.eligibleCount > 0 && this.#devices.slots(only) > 0 ? only : null
    this.#best = null
    this.#bestCost = Number.POSITIVE_INFINITY
    this.#isSure = false
    this.#leftMs = leftMs
    this.#roomLog = leftMs > 0 ? Math.log(leftMs / AMPLE) : Number.NEGATIVE_INFINITY
    for (let kind = 0; kind < this.#devices.kinds.length; kind++) {
      if (line.eligibleOfKind(kind) === 0) continue
      const { members, free } = this.#devices.kinds[kind] as Kind
      const eligible = line.eligibleBits(kind)
      const first = firstCommon(free, eligible)
      if (first < 0) continue
      const kindLog = this.#latency.kindLogMs(kind, artifact)
      const dearness = this.#thrift * this.#latency.kindSlowness(kind)
      if (this.#residency.matters) {
        let loaded = this.#residency.firstLoaded(free, eligible, artifact, kind)
        for (let tried = 0; loaded >= 0 && tried < this.#tries(); tried++) {
          this.#try(members[loaded] as number, artifact, kindLog, dearness)
          loaded = this.#residency.firstLoaded(free, eligible, artifact, kind, loaded + 1)
        }
      }
      for (let place = first, tried = 0; place >= 0 && tried < this.#tries(); tried++) {
        this.#try(members[place] as number, artifact, kindLog, dearness)
        place = firstCommon(free, eligible, place + 1)
      }
    }
    return this.#best
  }

  /** Of a kind that has an eligible device: a free one if there is one, the first otherwise. */
  anyOf(line: Line, kind: number): number {
    const { members, free } = this.#devices.kinds[kind] as Kind
    const eligible = line.eligibleBits(kind)
    const place = firstCommon(free, eligible)
    return members[place >= 0 ? place : firstCommon(eligible, eligible)] as number
  }

  #tries(): number {
    return this.#isSure ? TRIED_OF_KIND : TRIED_WHEN_TIGHT
  }

  #try(device: number, artifact: number, kindLog: number, dearness: number): void {
    const coldMs = this.#residency.coldMs(device, artifact)
    const runLog = kindLog + this.#latency.deviceLogFactor(device)
    const log = coldMs === 0 ? runLog : Math.log(Math.exp(runLog) + coldMs)
    // Time enough for any kind of noise: no need to work out the chance.
    const logChance = log < this.#roomLog ? 0 : this.#times.logChance(Math.exp(log), this.#leftMs, device, artifact)
    const cost = logChance < HARDLY ? TIGHT + log : log - dearness - this.#certainty * logChance
    if (cost >= this.#bestCost) return
    this.#best = device
    this.#bestCost = cost
    this.#isSure = logChance > SURE
  }
}
