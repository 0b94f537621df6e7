/** Buckets per doubling are 2 ** SCALE, as in OpenTelemetry's base-2 exponential histogram. */
export const SCALE = 4

const BUCKETS_PER_DOUBLING = 2 ** SCALE
const BASE = 2 ** (1 / BUCKETS_PER_DOUBLING)

/** A quantile is at most this far, as a share of it, from the recorded value of that rank: 2.17 %. */
export const RELATIVE_ERROR = (BASE - 1) / (BASE + 1)

/** Anything shorter than a nanosecond counts as zero: no clock here measures it. */
const SMALLEST_INDEX = bucketOf(1e-6)
/** And anything longer than 34 years as 34 years. */
const LARGEST_INDEX = bucketOf(2 ** 40)

/** `buckets` are pairs of index and count, ascending; bucket i holds values in (BASE ** i, BASE ** (i + 1)] ms. */
export type HistogramJson = { scale: number; zeroCount: number; buckets: [index: number, count: number][] }

export class HistogramError extends Error {
  readonly code: 'histogram-invalid' | 'histogram-value'
  constructor(code: HistogramError['code'], message: string) {
    super(message)
    this.name = 'HistogramError'
    this.code = code
  }
}

/**
 * Durations in milliseconds, counted in buckets whose bounds grow by a fixed factor. The scale never changes, so any
 * two histograms add up bucket by bucket, in any order, with nothing lost. It holds counts only: the exact minimum,
 * maximum and sum are not known to it.
 */
export class Histogram {
  #zeroCount = 0
  #count = 0
  readonly #buckets = new Map<number, number>()

  get count(): number {
    return this.#count
  }

  record(valueMs: number): void {
    if (!Number.isFinite(valueMs) || valueMs < 0) {
      throw new HistogramError('histogram-value', `a duration is a finite number of at least 0 ms, not ${valueMs}`)
    }
    this.#add(valueMs === 0 ? Number.NEGATIVE_INFINITY : Math.min(bucketOf(valueMs), LARGEST_INDEX), 1)
  }

  /**
   * The value in ms at rank ceil(q * count), the nearest-rank definition, within RELATIVE_ERROR; null when empty.
   * `q` is from 0 to 1.
   */
  quantile(q: number): number | null {
    if (!(q >= 0 && q <= 1)) throw new HistogramError('histogram-value', `a quantile is from 0 to 1, not ${q}`)
    if (this.#count === 0) return null
    const rank = Math.max(1, Math.ceil(q * this.#count))
    let seen = this.#zeroCount
    if (seen >= rank) return 0
    for (const [index, count] of this.#sorted()) {
      seen += count
      if (seen >= rank) return representative(index)
    }
    return null
  }

  toJSON(): HistogramJson {
    return { scale: SCALE, zeroCount: this.#zeroCount, buckets: this.#sorted() }
  }

  /** Throws `histogram-invalid` for anything that toJSON cannot have made. */
  static fromJSON(json: unknown): Histogram {
    const { zeroCount, buckets } = parse(json)
    const histogram = new Histogram()
    histogram.#add(Number.NEGATIVE_INFINITY, zeroCount)
    for (const [index, count] of buckets) histogram.#add(index, count)
    return histogram
  }

  /** A new histogram of everything that any of them recorded. */
  static merge(...parts: Histogram[]): Histogram {
    const merged = new Histogram()
    for (const part of parts) {
      merged.#add(Number.NEGATIVE_INFINITY, part.#zeroCount)
      for (const [index, count] of part.#buckets) merged.#add(index, count)
    }
    return merged
  }

  #add(index: number, count: number): void {
    this.#count += count
    if (index < SMALLEST_INDEX) this.#zeroCount += count
    else this.#buckets.set(index, (this.#buckets.get(index) ?? 0) + count)
  }

  #sorted(): [number, number][] {
    return [...this.#buckets].sort(([a], [b]) => a - b)
  }
}

/** What both recorded, as a new histogram. */
export function merge(a: Histogram, b: Histogram): Histogram {
  return Histogram.merge(a, b)
}

/** The smallest i with value <= BASE ** (i + 1). */
function bucketOf(valueMs: number): number {
  return Math.ceil(Math.log2(valueMs) * BUCKETS_PER_DOUBLING) - 1
}

// The harmonic mean of the bounds: its relative error is the same at both ends, and so the least.
function representative(index: number): number {
  const upper = 2 ** ((index + 1) / BUCKETS_PER_DOUBLING)
  return (2 * upper) / (1 + BASE)
}

function parse(json: unknown): HistogramJson {
  if (typeof json !== 'object' || json === null) throw invalid('it is not an object')
  const { scale, zeroCount, buckets } = json as Record<string, unknown>
  if (scale !== SCALE) throw invalid(`its scale is not ${SCALE}`)
  if (!isCount(zeroCount)) throw invalid('zeroCount is not a count')
  if (!Array.isArray(buckets)) throw invalid('buckets is not an array')
  let previous = Number.NEGATIVE_INFINITY
  let total = zeroCount
  for (const bucket of buckets as unknown[]) {
    if (!isBucket(bucket)) throw invalid('a bucket is not a pair of an index in range and a count above 0')
    if (bucket[0] <= previous) throw invalid('the buckets do not ascend')
    previous = bucket[0]
    total += bucket[1]
  }
  if (!Number.isSafeInteger(total)) throw invalid('its counts add up to more than can be counted')
  return { scale, zeroCount, buckets: buckets as [number, number][] }
}

function isBucket(value: unknown): value is [number, number] {
  if (!Array.isArray(value) || value.length !== 2) return false
  const [index, count] = value as [unknown, unknown]
  if (typeof index !== 'number' || !Number.isInteger(index)) return false
  return index >= SMALLEST_INDEX && index <= LARGEST_INDEX && isCount(count) && count > 0
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function invalid(why: string): HistogramError {
  return new HistogramError('histogram-invalid', `not a histogram: ${why}`)
}
