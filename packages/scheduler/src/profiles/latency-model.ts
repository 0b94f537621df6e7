import { gaussianFill } from './gaussian-fill.ts'

/** A latency, as far as it is known: the logarithm of milliseconds, and how far off that may be. */
export type LatencyPrediction = { logMs: number; logSd: number; source: 'measured' | 'predicted' }

const RUN_LOG_SD = 0.2
/** Runs after which a kind's mean no longer weighs an older run more than a newer one. */
const KIND_MEMORY = 256
const DEVICE_RATE = 0.1
/** A single run this far off its profile is taken for an outlier, two in a row for drift. */
const OUTLIER_LOG = 0.6

/**
 * Latency by kind of device (equal hardware and runtime) and artifact, times a factor of each device that follows its
 * drift. Indices are dense and given by the caller, so that all of it lies in flat arrays.
 *
 * A kind that never ran an artifact is predicted by `gaussianFill` from the kinds that did.
 */
export class LatencyModel {
  readonly artifacts: number
  readonly #kindOf: Int32Array
  readonly #mean: Float64Array
  readonly #count: Float64Array
  readonly #factor: Float32Array
  readonly #lastOff: Float32Array
  readonly #kinds: number
  #slowness: Float64Array | null = null
  #sinceSlowness = 0
  #filled: { mean: Float64Array; sd: Float64Array } | null = null

  constructor(kindOf: Int32Array, kinds: number, artifacts: number) {
    this.artifacts = artifacts
    this.#kindOf = kindOf
    this.#kinds = kinds
    this.#mean = new Float64Array(kinds * artifacts)
    this.#count = new Float64Array(kinds * artifacts)
    this.#factor = new Float32Array(kindOf.length)
    this.#lastOff = new Float32Array(kindOf.length)
  }

  observe(device: number, artifact: number, latencyMs: number): void {
    const cell = (this.#kindOf[device] as number) * this.artifacts + artifact
    const logMs = Math.log(latencyMs)
    const count = this.#count[cell] as number
    if (count === 0) {
      this.#count[cell] = 1
      this.#mean[cell] = logMs - (this.#factor[device] as number)
      this.#filled = null
      return
    }
    const off = logMs - (this.#mean[cell] as number) - (this.#factor[device] as number)
    const before = this.#lastOff[device] as number
    this.#lastOff[device] = off
    const isLone = Math.abs(off) > OUTLIER_LOG && !(Math.abs(before) > OUTLIER_LOG && before * off > 0)
    const step = isLone ? Math.sign(off) * OUTLIER_LOG * 0.25 : off
    // Only a device in its usual form teaches its kind.
    if (!isLone && Math.abs(off) <= OUTLIER_LOG) {
      this.#count[cell] = Math.min(count + 1, KIND_MEMORY)
      this.#mean[cell] = (this.#mean[cell] as number) + off / Math.min(count + 1, KIND_MEMORY)
    }
    const rate = Math.abs(off) > OUTLIER_LOG && !isLone ? 0.4 : DEVICE_RATE
    this.#factor[device] = (this.#factor[device] as number) + rate * step
  }

  /** Natural logarithm of the device's slowness beside its kind: 0 usual, 0.7 twice as slow. */
  deviceLogFactor(device: number): number {
    return this.#factor[device] as number
  }

  /** Whether the device is demoted: at least half as slow again as its kind. */
  isDrifting(device: number): boolean {
    return (this.#factor[device] as number) > 0.405
  }

  kindLogMs(kind: number, artifact: number): number {
    const cell = kind * this.artifacts + artifact
    return (this.#count[cell] as number) > 0 ? (this.#mean[cell] as number) : (this.#fill().mean[cell] as number)
  }

  /** Mean log latency over all artifacts, measured or predicted: how slow the kind is at everything. */
  kindSlowness(kind: number): number {
    if (this.#slowness === null || this.#sinceSlowness++ > 4096) {
      this.#sinceSlowness = 0
      this.#slowness = Float64Array.from({ length: this.#kinds }, (_, k) => {
        let sum = 0
        for (let a = 0; a < this.artifacts; a++) sum += this.kindLogMs(k, a)
        return sum / Math.max(1, this.artifacts)
      })
    }
    return this.#slowness[kind] as number
  }

  expectedMs(device: number, artifact: number): number {
    return Math.exp(this.kindLogMs(this.#kindOf[device] as number, artifact) + (this.#factor[device] as number))
  }

  predict(device: number, artifact: number): LatencyPrediction {
    const cell = (this.#kindOf[device] as number) * this.artifacts + artifact
    const count = this.#count[cell] as number
    const factor = this.#factor[device] as number
    if (count > 0)
      return {
        logMs: (this.#mean[cell] as number) + factor,
        logSd: RUN_LOG_SD * Math.sqrt(1 + 1 / count),
        source: 'measured'
      }
    const { mean, sd } = this.#fill()
    return { logMs: (mean[cell] as number) + factor, logSd: sd[cell] as number, source: 'predicted' }
  }

  #fill(): { mean: Float64Array; sd: Float64Array } {
    this.#filled ??= gaussianFill(this.#mean, this.#count, this.#kinds, this.artifacts)
    return this.#filled
  }
}
