import type { LatencyModel } from '../profiles/latency-model.ts'
import { firstCommon } from './bitmap.ts'
import type { DeviceTable, Kind } from './device-table.ts'
import type { Line } from './line.ts'
import type { Residency } from './residency.ts'

/** Of the devices of a kind that must load an artifact first, so many stand for all. */
const TRIED_COLD = 8

/** Beyond so many deviations a run is as good as certain, or hopeless. */
const CERTAIN_Z = 3
/** With so many times of what it is expected to take, even what was never measured is taken to be in time. */
const AMPLE = 64
const LEAST_LOG = -7

/** How long work takes where: the run as it is predicted, after a cold start where the artifact is not loaded. */
export class FinishTimes {
  readonly #latency: LatencyModel
  readonly #devices: DeviceTable
  readonly #residency: Residency

  constructor(latency: LatencyModel, devices: DeviceTable, residency: Residency) {
    this.#latency = latency
    this.#devices = devices
    this.#residency = residency
  }

  expectedMs(device: number, artifact: number): number {
    return this.#latency.expectedMs(device, artifact) + this.#residency.coldMs(device, artifact)
  }

  /** `expectedMs`, but of a pair that never ran what the run may take at least. */
  leastMs(device: number, artifact: number): number {
    return this.#latency.leastMs(device, artifact) + this.#residency.coldMs(device, artifact)
  }

  /** Logarithm of the chance that a run which is expected to take `ms` is over within `leftMs`. */
  logChance(ms: number, leftMs: number, device: number, artifact: number): number {
    // Nearly all work has time enough, and this is asked of every device that is tried.
    if (leftMs > AMPLE * ms) return 0
    if (leftMs <= 0) return LEAST_LOG
    const logSd = this.#latency.runLogSd(this.#devices.kindOf(device), artifact)
    if (leftMs > ms * (1 + CERTAIN_Z * logSd * (1 + CERTAIN_Z * logSd))) return 0
    return Math.max(LEAST_LOG, Math.log(normalShare(Math.log(leftMs / ms) / logSd)))
  }

  /** Of a run alone on the fastest kind that has an eligible device; infinite without one. */
  fastestMs(line: Line): number {
    return Math.exp(this.fastestLogMs(line))
  }

  fastestLogMs(line: Line): number {
    let log = Number.POSITIVE_INFINITY
    for (let kind = 0; kind < this.#devices.kinds.length; kind++)
      if (line.eligibleOfKind(kind) > 0) log = Math.min(log, this.#latency.kindLogMs(kind, line.demand.artifact))
    return log
  }

  /** What the fastest eligible kind may need at least, by what is known of it; zero without one. */
  leastOfLineMs(line: Line): number {
    if (line.eligibleCount === 0) return 0
    let least = Number.POSITIVE_INFINITY
    for (let kind = 0; kind < this.#devices.kinds.length; kind++) {
      if (line.eligibleOfKind(kind) === 0) continue
      const runMs = Math.exp(this.#latency.kindLeastLogMs(kind, line.demand.artifact))
      if (runMs < least) least = Math.min(least, runMs + this.#leastColdMs(line, kind))
    }
    return least
  }

  /** Zero where an eligible device of the kind has it loaded, whether it is free or not. */
  #leastColdMs(line: Line, kind: number): number {
    const { artifact, device } = line.demand
    if (!this.#residency.matters) return 0
    if (device !== undefined) return this.#residency.coldMs(device, artifact)
    const eligible = line.eligibleBits(kind)
    if (firstCommon(eligible, this.#residency.places(artifact, kind)) >= 0) return 0
    const { members } = this.#devices.kinds[kind] as Kind
    let least = Number.POSITIVE_INFINITY
    let place = firstCommon(eligible, eligible)
    for (let tried = 0; place >= 0 && tried < TRIED_COLD; tried++) {
      least = Math.min(least, this.#residency.coldMs(members[place] as number, artifact))
      place = firstCommon(eligible, eligible, place + 1)
    }
    return least
  }
}

/** The normal distribution, within 1e-7 (Abramowitz and Stegun, 26.2.17). */
function normalShare(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z))
  const tail =
    0.3989422804 *
    Math.exp((-z * z) / 2) *
    t *
    (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return z > 0 ? 1 - tail : tail
}
