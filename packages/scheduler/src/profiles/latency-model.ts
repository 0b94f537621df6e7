import { grown } from '../core/grow.ts'
import { gaussianFill } from './gaussian-fill.ts'

/** A latency, as far as it is known: the logarithm of milliseconds, and how far off that may be. */
export type LatencyPrediction = { logMs: number; logSd: number; source: 'measured' | 'predicted' }

const RUN_LOG_SD = 0.2
/** Runs after which a kind's mean no longer weighs an older run more than a newer one. */
const KIND_MEMORY = 256
const DEVICE_RATE = 0.1
/** A single run this far off its profile is taken for an outlier, two in a row for drift. */
const OUTLIER_LOG = 0.6
/** Runs that a benchmark's median counts for. */
const SEED_WEIGHT = 8
/** Before anything was measured: a tenth of a second, give or take a factor of ten. */
const UNKNOWN_LOG_MS = Math.log(100)
const UNKNOWN_LOG_SD = 2.3
/** How much faster than predicted an unmeasured pair may well be, in standard deviations. */
const LEAST_Z = 1.28
const NO_KIND = -1

/**
 * Latency by kind of device (equal hardware and runtime) and artifact, times a factor of each device that follows its
 * drift. Devices, kinds and artifacts (columns) are numbered by the caller from zero without large gaps, so that all of
 * it lies in flat arrays, which grow as numbers come.
 *
 * A kind that never ran an artifact is predicted by `gaussianFill` from the kinds that did.
 */
export class LatencyModel {
  #kindOf = new Int32Array(0)
  #factor = new Float32Array(0)
  #lastOff = new Float32Array(0)
  /** Kind by kind, `#stride` columns each. */
  #mean = new Float64Array(0)
  #count = new Float64Array(0)
  #stride = 0
  #kinds = 0
  #columns = 0
  /** Kinds that ran it, by column. */
  #kindsThatRan = new Int32Array(0)
  #slowness: Float64Array | null = null
  #sinceSlowness = 0
  #filled: Filled | null = null

  get kinds(): number {
    return this.#kinds
  }

  /** One past the highest column that was ever measured. */
  get artifacts(): number {
    return this.#columns
  }

  /** Known in its usual form: nothing that an earlier device of this number showed is kept. */
  addDevice(device: number, kind: number): void {
    const before = this.#kindOf.length
    this.#kindOf = grown(this.#kindOf, device + 1)
    this.#kindOf.fill(NO_KIND, before)
    this.#factor = grown(this.#factor, device + 1)
    this.#lastOff = grown(this.#lastOff, device + 1)
    this.#kindOf[device] = kind
    this.#factor[device] = 0
    this.#lastOff[device] = 0
    this.#reserve(kind, this.#columns - 1)
  }

  removeDevice(device: number): void {
    if (device < this.#kindOf.length) this.#kindOf[device] = NO_KIND
  }

  /** -1 for a device that was not added. */
  kindOf(device: number): number {
    return this.#kindOf[device] ?? NO_KIND
  }

  observe(device: number, artifact: number, latencyMs: number): void {
    if (!(latencyMs > 0)) return
    const logMs = Math.log(latencyMs)
    const cell = this.#cellOf(device, artifact)
    const count = this.#count[cell] as number
    if (count === 0) {
      this.#start(cell, logMs - (this.#factor[device] as number), 1)
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

  /** A benchmark's median there: worth several runs, and free of outliers, so that it is taken as it is. */
  seed(device: number, artifact: number, p50Ms: number): void {
    if (!(p50Ms > 0)) return
    const cell = this.#cellOf(device, artifact)
    const count = this.#count[cell] as number
    const logMs = Math.log(p50Ms) - (this.#factor[device] as number)
    if (count === 0) {
      this.#start(cell, logMs, SEED_WEIGHT)
      return
    }
    this.#count[cell] = Math.min(count + SEED_WEIGHT, KIND_MEMORY)
    this.#mean[cell] =
      (this.#mean[cell] as number) + ((logMs - (this.#mean[cell] as number)) * SEED_WEIGHT) / (count + SEED_WEIGHT)
  }

  /** The column is free for another artifact. */
  forgetArtifact(artifact: number): void {
    if (artifact >= this.#columns) return
    for (let kind = 0; kind < this.#kinds; kind++) this.#count[kind * this.#stride + artifact] = 0
    this.#kindsThatRan[artifact] = 0
    this.#filled = null
    this.#slowness = null
  }

  /** Natural logarithm of the device's slowness beside its kind: 0 usual, 0.7 twice as slow. */
  deviceLogFactor(device: number): number {
    return this.#factor[device] ?? 0
  }

  /** Whether the device is demoted: at least half as slow again as its kind. */
  isDrifting(device: number): boolean {
    return this.deviceLogFactor(device) > 0.405
  }

  kindLogMs(kind: number, artifact: number): number {
    const cell = kind * this.#stride + artifact
    if (artifact < this.#columns && (this.#count[cell] as number) > 0) return this.#mean[cell] as number
    return this.#predicted(kind, artifact).logMs
  }

  /** The same, but what is only predicted may well be faster: no work is given up for a guess. */
  kindLeastLogMs(kind: number, artifact: number): number {
    const cell = kind * this.#stride + artifact
    if (artifact < this.#columns && (this.#count[cell] as number) > 0) return this.#mean[cell] as number
    const { logMs, logSd } = this.#predicted(kind, artifact)
    return logMs - LEAST_Z * logSd
  }

  /** Mean log latency over all artifacts that ran anywhere, measured or predicted: how slow the kind is at everything. */
  kindSlowness(kind: number): number {
    if (this.#slowness === null || this.#sinceSlowness++ > 4096) {
      this.#sinceSlowness = 0
      this.#slowness = Float64Array.from({ length: this.#kinds }, (_, k) => {
        let sum = 0
        let ran = 0
        for (let a = 0; a < this.#columns; a++) {
          if (this.#kindsThatRan[a] === 0) continue
          sum += this.kindLogMs(k, a)
          ran += 1
        }
        return ran === 0 ? UNKNOWN_LOG_MS : sum / ran
      })
    }
    return this.#slowness[kind] ?? UNKNOWN_LOG_MS
  }

  expectedMs(device: number, artifact: number): number {
    return Math.exp(this.kindLogMs(this.kindOf(device), artifact) + this.deviceLogFactor(device))
  }

  /** `expectedMs` of a measured pair; of an unmeasured one, what it may need at least. */
  leastMs(device: number, artifact: number): number {
    return Math.exp(this.kindLeastLogMs(this.kindOf(device), artifact) + this.deviceLogFactor(device))
  }

  predict(device: number, artifact: number): LatencyPrediction {
    const prediction = this.predictKind(this.kindOf(device), artifact)
    return { ...prediction, logMs: prediction.logMs + this.deviceLogFactor(device) }
  }

  /** Of a device of the kind in its usual form. */
  predictKind(kind: number, artifact: number): LatencyPrediction {
    const cell = kind * this.#stride + artifact
    const count = kind >= 0 && artifact < this.#columns ? (this.#count[cell] as number) : 0
    if (count === 0) return { ...this.#predicted(kind, artifact), source: 'predicted' }
    const logMs = this.#mean[cell] as number
    return { logMs, logSd: RUN_LOG_SD * Math.sqrt(1 + 1 / count), source: 'measured' }
  }

  #cellOf(device: number, artifact: number): number {
    const kind = this.kindOf(device)
    if (kind === NO_KIND) throw new RangeError(`device ${device} was not added`)
    this.#reserve(kind, artifact)
    return kind * this.#stride + artifact
  }

  #reserve(kind: number, artifact: number): void {
    const [kinds, columns] = [Math.max(this.#kinds, kind + 1), Math.max(this.#columns, artifact + 1)]
    if (kinds === this.#kinds && columns === this.#columns) return
    if (columns > this.#stride) {
      const stride = Math.max(16, 2 * this.#stride, columns)
      const spread = (from: Float64Array) => {
        const to = new Float64Array(Math.max(kinds, 16) * stride)
        for (let k = 0; k < this.#kinds; k++)
          to.set(from.subarray(k * this.#stride, k * this.#stride + this.#columns), k * stride)
        return to
      }
      this.#mean = spread(this.#mean)
      this.#count = spread(this.#count)
      this.#stride = stride
    }
    this.#mean = grown(this.#mean, kinds * this.#stride)
    this.#count = grown(this.#count, kinds * this.#stride)
    this.#kindsThatRan = grown(this.#kindsThatRan, columns)
    this.#kinds = kinds
    this.#columns = columns
    this.#filled = null
    this.#slowness = null
  }

  #start(cell: number, logMs: number, count: number): void {
    const artifact = cell % this.#stride
    this.#kindsThatRan[artifact] = (this.#kindsThatRan[artifact] as number) + 1
    this.#mean[cell] = logMs
    this.#count[cell] = count
    this.#filled = null
    this.#slowness = null
  }

  #predicted(kind: number, artifact: number): { logMs: number; logSd: number } {
    // A column that nobody measured is as the kind is otherwise, which says little.
    if (kind < 0 || kind >= this.#kinds) return UNKNOWN
    if (!((this.#kindsThatRan[artifact] ?? 0) > 0)) return { logMs: this.kindSlowness(kind), logSd: UNKNOWN_LOG_SD }
    this.#filled ??= this.#fill()
    const { mean, sd, columns } = this.#filled
    return { logMs: mean[kind * columns + artifact] as number, logSd: sd[kind * columns + artifact] as number }
  }

  #fill(): Filled {
    const columns = this.#columns
    const compact = (from: Float64Array) => {
      const to = new Float64Array(this.#kinds * columns)
      for (let k = 0; k < this.#kinds; k++)
        to.set(from.subarray(k * this.#stride, k * this.#stride + columns), k * columns)
      return to
    }
    return { ...gaussianFill(compact(this.#mean), compact(this.#count), this.#kinds, columns), columns }
  }
}

type Filled = { mean: Float64Array; sd: Float64Array; columns: number }

const UNKNOWN = { logMs: UNKNOWN_LOG_MS, logSd: UNKNOWN_LOG_SD }
