import { finishLogMs } from '../scores/candidate.ts'
import type { WeightedScores } from '../scores/weights.ts'
import { firstCommon, firstInTurn } from './bitmap.ts'
import type { Candidates } from './candidates.ts'
import type { DeviceTable, Kind } from './device-table.ts'
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

/** Chooses among the free devices that may do a line's work. */
export class FreeDevice {
  readonly #devices: DeviceTable
  readonly #residency: Residency
  readonly #candidates: Candidates
  readonly #scores: WeightedScores
  #best: number | null = null
  #bestCost = Number.POSITIVE_INFINITY
  #isSure = false

  constructor(devices: DeviceTable, residency: Residency, candidates: Candidates, scores: WeightedScores) {
    this.#devices = devices
    this.#residency = residency
    this.#candidates = candidates
    this.#scores = scores
  }

  /** The one that the scores cost least for work that has `leftMs`, or null when none is free. */
  bestFor(line: Line, leftMs: number): number | null {
    const { artifact, device: only } = line.demand
    if (only !== undefined) return line.eligibleCount > 0 && this.#devices.slots(only) > 0 ? only : null
    this.#best = null
    this.#bestCost = Number.POSITIVE_INFINITY
    this.#isSure = false
    for (let kind = 0; kind < this.#devices.kinds.length; kind++) {
      if (line.eligibleOfKind(kind) === 0) continue
      const { members, free, next } = this.#devices.kinds[kind] as Kind
      const eligible = line.eligibleBits(kind)
      if (firstCommon(free, eligible) < 0) continue
      if (this.#residency.matters) {
        let loaded = this.#residency.firstLoaded(free, eligible, artifact, kind)
        for (let tried = 0; loaded >= 0 && tried < this.#tries(); tried++) {
          this.#try(members[loaded] as number, artifact, leftMs)
          loaded = this.#residency.firstLoaded(free, eligible, artifact, kind, loaded + 1)
        }
      }
      // From behind the last one that was chosen, so that all of a kind get their turn.
      let place = firstInTurn(free, eligible, next, next)
      for (let tried = 0; place >= 0 && tried < this.#tries(); tried++) {
        this.#try(members[place] as number, artifact, leftMs)
        place = firstInTurn(free, eligible, next, place + 1)
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

  #try(device: number, artifact: number, leftMs: number): void {
    const candidate = this.#candidates.ofDevice(device, artifact, leftMs)
    const { logChance } = candidate
    const cost = logChance < HARDLY ? TIGHT + finishLogMs(candidate) : this.#scores.cost(candidate)
    if (cost >= this.#bestCost) return
    this.#best = device
    this.#bestCost = cost
    this.#isSure = logChance > SURE
  }
}
