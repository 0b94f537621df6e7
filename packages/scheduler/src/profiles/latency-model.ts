import { grown } from '../core/grow.ts'
import { Doubts } from './doubts.ts'
import { fillColumn, fitKinds, type KindFit } from './gaussian-fill.ts'

/** A latency, as far as it is known: the logarithm of milliseconds, and how far off that may be. */
export type LatencyPrediction = { logMs: number; logSd: number; source: 'measured' | 'predicted' }

/** Variance of one run's logarithm until it is known better. */
const START_NOISE = 0.03
const NOISE_MEMORY = 500
/** How far devices of a kind differ, as a variance of the logarithm, before anything ran: 5 %; more shows as drift. */
const DEVICE_VARIANCE = 0.0016
/** What a device's factor, and a kind's mean, may change by from run to run, as a share of the noise: a memory of a hundred runs. */
const DRIFT = 0.0001
/** A single run this far off, and beyond three deviations, is taken for an outlier, two in a row for drift. */
const OUTLIER_LOG = 0.6
/** Nothing is known any more of a device that drifts. */
const DRIFTING_VARIANCE = 1
/** A lean of several runs to one side is drift too: its memory and limit, in runs and in deviations of one run. */
const LEAN_RATE = 0.15
const LEAN_LIMIT = 1.2
/** Demoted above the first, taken back below the second, so that it does not go to and fro. */
const DEMOTED_LOG = 0.405
const RECOVERED_LOG = 0.25
/**
 * After this long without a run half of a demotion is forgotten, towards a little faster than its kind: among idle ones
 * it then comes first once, and can show what it is.
 */
const RELAX_HALF_LIFE_MS = 60_000
const HOPED_LOG = -0.1
/** Variance of a median of n normal draws over that of one, times n. */
const MEDIAN_VARIANCE = Math.PI / 2
/** A benchmark's runs share a moment (clock, heat, neighbours), so that many of them do not make it surer than so many. */
const SEED_RUNS_AT_MOST = 32
/** Before anything was measured: a tenth of a second, give or take a factor of ten. */
const UNKNOWN_LOG_MS = Math.log(100)
const UNKNOWN_LOG_SD = 2.3
/** How much faster than predicted an unmeasured pair may well be, in standard deviations. */
const LEAST_Z = 1.28
/** Multiplications in learning how alike the kinds are: some hundred milliseconds, so that nobody waits for long. */
const FIT_WORK = 2e7
const NO_KIND = -1

/**
 * Latency by kind of device (equal hardware and runtime) and artifact, times a factor of each device that follows its
 * drift. Devices, kinds and artifacts (columns) are numbered by the caller from zero without large gaps, so that all of
 * it lies in flat arrays, which grow as numbers come.
 *
 * A kind that never ran an artifact is predicted by `gaussianFill` from the kinds that did.
 */
export class LatencyModel {
  readonly doubts = new Doubts()
  #kindOf = new Int32Array(0)
  #factor = new Float32Array(0)
  #factorVariance = new Float32Array(0)
  /** Which side the last run was an outlier to, and where the last ones leant. */
  #outlierSide = new Int8Array(0)
  #lean = new Float32Array(0)
  #isDemoted = new Uint8Array(0)
  #isUnproved = new Uint8Array(0)
  #ranLately = new Uint8Array(0)
  #noise = START_NOISE
  /** Kind by kind, `#stride` columns each. */
  #mean = new Float64Array(0)
  #variance = new Float64Array(0)
  #count = new Float64Array(0)
  #stride = 0
  #kinds = 0
  #columns = 0
  /** Kinds that ran it, by column. */
  #kindsThatRan = new Int32Array(0)
  #slowness: Float64Array | null = null
  #sinceSlowness = 0
  #cells = 0
  /** Likeness of the kinds, learnt again once a quarter more cells were measured; and the columns filled by it. */
  #fit: (KindFit & { cells: number }) | null = null
  readonly #filled = new Map<number, { mean: Float64Array; sd: Float64Array }>()

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
    this.#factorVariance = grown(this.#factorVariance, device + 1)
    this.#outlierSide = grown(this.#outlierSide, device + 1)
    this.#lean = grown(this.#lean, device + 1)
    this.#isDemoted = grown(this.#isDemoted, device + 1)
    this.#isUnproved = grown(this.#isUnproved, device + 1)
    this.#ranLately = grown(this.#ranLately, device + 1)
    this.#kindOf[device] = kind
    this.#factor[device] = 0
    this.#factorVariance[device] = DEVICE_VARIANCE
    this.#outlierSide[device] = 0
    this.#lean[device] = 0
    this.#isDemoted[device] = 0
    this.#isUnproved[device] = 0
    this.#reserve(kind, this.#columns - 1)
  }

  removeDevice(device: number): void {
    if (device < this.#kindOf.length) this.#kindOf[device] = NO_KIND
  }

  /** -1 for a device that was not added. */
  kindOf(device: number): number {
    return this.#kindOf[device] ?? NO_KIND
  }

  /**
   * A run's innovation is split between the kind's mean and the device's factor by their variances (a Kalman filter with
   * both as random walks), so that a device in its usual form teaches its kind, and one that drifts does not.
   */
  observe(device: number, artifact: number, latencyMs: number): void {
    if (!(latencyMs > 0)) return
    const logMs = Math.log(latencyMs)
    const cell = this.#cellOf(device, artifact)
    const count = this.#count[cell] as number
    const factor = this.#factor[device] as number
    const factorVariance = this.#factorVariance[device] as number
    this.#ranLately[device] = 1
    this.#isUnproved[device] = 0
    if (count === 0) {
      this.#start(cell, logMs - factor, this.#noise + factorVariance, 1)
      return
    }
    const off = logMs - (this.#mean[cell] as number) - factor
    // Outliers are runs that took too long: of the first two it is the longer one.
    if (count === 1 && off < -OUTLIER_LOG) {
      this.#restart(cell, logMs - factor, this.#noise + factorVariance)
      return
    }
    const variance = this.#varianceOf(cell)
    const total = variance + factorVariance + this.#noise
    if (this.#isLoneOutlier(device, off, Math.sqrt(total))) return
    this.#noteLean(device, off)
    // What the two lines above may have widened.
    const open = this.#factorVariance[device] as number
    const gainTotal = variance + open + this.#noise
    this.#mean[cell] = (this.#mean[cell] as number) + (variance / gainTotal) * off
    this.#variance[cell] = variance * (1 - variance / gainTotal) + DRIFT * this.#noise
    this.#count[cell] = count + 1
    this.#factorVariance[device] = open * (1 - open / gainTotal) + DRIFT * this.#noise
    this.#setFactor(device, factor + (open / gainTotal) * off)
    if (count > 8 && Math.abs(off) < OUTLIER_LOG)
      this.#noise += (Math.max(off * off, 1e-4) - this.#noise) / NOISE_MEMORY
  }

  /** The median of a benchmark of so many runs there: of several it is free of outliers, so that it is taken as it is. */
  seed(device: number, artifact: number, p50Ms: number, runs = 16): void {
    if (!(p50Ms > 0) || !(runs > 0)) return
    const cell = this.#cellOf(device, artifact)
    const logMs = Math.log(p50Ms) - (this.#factor[device] as number)
    const weight = Math.max(1, Math.min(runs, SEED_RUNS_AT_MOST) / MEDIAN_VARIANCE)
    const own = this.#noise / weight + (this.#factorVariance[device] as number)
    if (this.#count[cell] === 0) {
      this.#start(cell, logMs, own, weight)
      return
    }
    const variance = this.#varianceOf(cell)
    const gain = variance / (variance + own)
    this.#mean[cell] = (this.#mean[cell] as number) + gain * (logMs - (this.#mean[cell] as number))
    this.#variance[cell] = variance * (1 - gain)
    this.#count[cell] = (this.#count[cell] as number) + weight
  }

  /**
   * To be called now and then: a demoted device that got no work since the last call is trusted again by and by, because
   * without a run it could never show that it has recovered.
   */
  relax(elapsedMs: number): void {
    const keeps = 0.5 ** (elapsedMs / RELAX_HALF_LIFE_MS)
    for (let device = 0; device < this.#kindOf.length; device++) {
      if (this.#isDemoted[device] === 1) this.#isUnproved[device] = 1
      if (this.#isUnproved[device] === 1 && this.#ranLately[device] === 0) {
        this.#setFactor(device, HOPED_LOG + ((this.#factor[device] as number) - HOPED_LOG) * keeps)
        // The next run decides at once.
        this.#factorVariance[device] = Math.max(this.#factorVariance[device] as number, DRIFTING_VARIANCE / 2)
      }
      this.#ranLately[device] = 0
    }
  }

  /** The column is free for another artifact. */
  forgetArtifact(artifact: number): void {
    if (artifact >= this.#columns) return
    for (let kind = 0; kind < this.#kinds; kind++) this.#count[kind * this.#stride + artifact] = 0
    this.doubts.forgetArtifact(artifact)
    this.#cells -= this.#kindsThatRan[artifact] as number
    this.#kindsThatRan[artifact] = 0
    this.#filled.delete(artifact)
    this.#slowness = null
  }

  /** Natural logarithm of the device's slowness beside its kind: 0 usual, 0.7 twice as slow. */
  deviceLogFactor(device: number): number {
    return this.#factor[device] ?? 0
  }

  /** Whether the device is demoted: it became at least half as slow again as its kind, and is not back yet. */
  isDrifting(device: number): boolean {
    return this.#isDemoted[device] === 1
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
    const { logMs, logSd, source } = this.predictKind(this.kindOf(device), artifact)
    const ofDevice = source === 'measured' ? (this.#factorVariance[device] ?? 0) : 0
    return { logMs: logMs + this.deviceLogFactor(device), logSd: Math.sqrt(logSd ** 2 + ofDevice), source }
  }

  /** Of a device of the kind in its usual form. */
  predictKind(kind: number, artifact: number): LatencyPrediction {
    const cell = kind * this.#stride + artifact
    const count = kind >= 0 && artifact < this.#columns ? (this.#count[cell] as number) : 0
    if (count === 0) return { ...this.#predicted(kind, artifact), source: 'predicted' }
    const logSd = Math.sqrt(this.#noise + (this.#variance[cell] as number))
    return { logMs: this.#mean[cell] as number, logSd, source: 'measured' }
  }

  /** How far off the logarithm of one run of the kind may be: its noise, and what is not known of its mean. */
  runLogSd(kind: number, artifact: number): number {
    const cell = kind * this.#stride + artifact
    if (artifact < this.#columns && (this.#count[cell] as number) > 0)
      return Math.sqrt(this.#noise + (this.#variance[cell] as number))
    return this.#predicted(kind, artifact).logSd
  }

  #varianceOf(cell: number): number {
    const isDoubted = this.doubts.settle(Math.floor(cell / this.#stride), cell % this.#stride)
    return isDoubted ? DRIFTING_VARIANCE : (this.#variance[cell] as number)
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
      this.#variance = spread(this.#variance)
      this.#count = spread(this.#count)
      this.#stride = stride
    }
    this.#mean = grown(this.#mean, kinds * this.#stride)
    this.#variance = grown(this.#variance, kinds * this.#stride)
    this.#count = grown(this.#count, kinds * this.#stride)
    this.#kindsThatRan = grown(this.#kindsThatRan, columns)
    if (kinds > this.#kinds) this.#fit = null
    this.#kinds = kinds
    this.#columns = columns
    this.#slowness = null
  }

  #start(cell: number, logMs: number, variance: number, count: number): void {
    const artifact = cell % this.#stride
    this.#kindsThatRan[artifact] = (this.#kindsThatRan[artifact] as number) + 1
    this.#count[cell] = count
    this.#cells += 1
    this.#restart(cell, logMs, variance)
    this.#slowness = null
  }

  #restart(cell: number, logMs: number, variance: number): void {
    this.#mean[cell] = logMs
    this.#variance[cell] = variance
    this.#filled.delete(cell % this.#stride)
  }

  #setFactor(device: number, logFactor: number): void {
    this.#factor[device] = logFactor
    if (logFactor > DEMOTED_LOG) this.#isDemoted[device] = 1
    else if (logFactor < RECOVERED_LOG) this.#isDemoted[device] = 0
  }

  /** Far off for the first time; for the second, on the same side, it is drift, and the factor is open. */
  #isLoneOutlier(device: number, off: number, sd: number): boolean {
    const isFar = Math.abs(off) > Math.max(OUTLIER_LOG, 3 * sd)
    const isSecond = this.#outlierSide[device] === Math.sign(off)
    this.#outlierSide[device] = isFar && !isSecond ? Math.sign(off) : 0
    if (isFar && isSecond) this.#factorVariance[device] = DRIFTING_VARIANCE
    return isFar && !isSecond
  }

  #noteLean(device: number, off: number): void {
    const sd = Math.sqrt(this.#noise)
    const clipped = Math.max(-3, Math.min(3, off / sd))
    const lean = (this.#lean[device] as number) * (1 - LEAN_RATE) + LEAN_RATE * clipped
    const isDrift = Math.abs(lean) > LEAN_LIMIT
    this.#lean[device] = isDrift ? 0 : lean
    if (isDrift) this.#factorVariance[device] = Math.max(this.#factorVariance[device] as number, this.#noise)
  }

  #predicted(kind: number, artifact: number): { logMs: number; logSd: number } {
    // A column that nobody measured is as the kind is otherwise, which says little.
    if (kind < 0 || kind >= this.#kinds) return UNKNOWN
    if (!((this.#kindsThatRan[artifact] ?? 0) > 0)) return { logMs: this.kindSlowness(kind), logSd: UNKNOWN_LOG_SD }
    const { mean, sd } = this.#column(artifact)
    return { logMs: mean[kind] as number, logSd: sd[kind] as number }
  }

  #column(artifact: number): { mean: Float64Array; sd: Float64Array } {
    if (this.#fit === null || this.#cells > 1.25 * this.#fit.cells + 8) {
      this.#fit = { ...this.#fitAll(), cells: this.#cells }
      this.#filled.clear()
    }
    let column = this.#filled.get(artifact)
    if (column === undefined) {
      const rows: number[] = []
      const logMs = new Float64Array(this.#kinds)
      for (let kind = 0; kind < this.#kinds; kind++) {
        const cell = kind * this.#stride + artifact
        if (!((this.#count[cell] as number) > 0)) continue
        rows.push(kind)
        logMs[kind] = this.#mean[cell] as number
      }
      column = fillColumn(this.#fit, logMs, rows)
      this.#filled.set(artifact, column)
    }
    return column
  }

  #fitAll(): KindFit {
    const columns = this.#columns
    const compact = (from: Float64Array) => {
      const to = new Float64Array(this.#kinds * columns)
      for (let k = 0; k < this.#kinds; k++)
        to.set(from.subarray(k * this.#stride, k * this.#stride + columns), k * columns)
      return to
    }
    return fitKinds(compact(this.#mean), compact(this.#count), this.#kinds, columns, FIT_WORK)
  }
}

const UNKNOWN = { logMs: UNKNOWN_LOG_MS, logSd: UNKNOWN_LOG_SD }
