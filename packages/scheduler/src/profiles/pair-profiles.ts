/** Bytes of one pair at worst: five floats and a key, a quarter of them spare, and an index a third full after it grew. */
export const BYTES_PER_PAIR = (5 * 4 + 2 * 4) * 1.25 + 4 * 3

const MEAN = 0
const VARIANCE = 1
const MEDIAN = 2
const P95 = 3
const WEIGHT = 4
const FIELDS = 5
const MEMORY = 64
const START_VARIANCE = 0.04

export type PairProfile = { logMean: number; logVariance: number; p50Ms: number; p95Ms: number; runs: number }

/**
 * Latency profiles of (device, artifact with runtime and threads) pairs that ran: decayed log mean and variance, and two
 * quantiles by stochastic approximation. Flat arrays, so that a hundred models on 100,000 devices fit in half a gigabyte.
 */
export class PairProfiles {
  #fields = new Float32Array(64 * FIELDS)
  #keys = new Int32Array(64 * 2)
  #index = new Int32Array(128)
  #size = 0

  get size(): number {
    return this.#size
  }

  observe(device: number, artifact: number, latencyMs: number): void {
    const log = Math.log(latencyMs)
    let at = this.#find(device, artifact)
    if (at < 0 || this.#fields[at * FIELDS + WEIGHT] === 0) {
      if (at < 0) at = this.#insert(device, artifact)
      this.#fields.set([log, START_VARIANCE, log, log + 1.64 * Math.sqrt(START_VARIANCE), 1], at * FIELDS)
      return
    }
    const base = at * FIELDS
    const f = this.#fields
    const weight = Math.min((f[base + WEIGHT] as number) + 1, MEMORY)
    const off = log - (f[base + MEAN] as number)
    f[base + WEIGHT] = weight
    f[base + MEAN] = (f[base + MEAN] as number) + off / weight
    f[base + VARIANCE] = (f[base + VARIANCE] as number) + (off * off - (f[base + VARIANCE] as number)) / (weight + 4)
    const step = (2 * Math.sqrt(f[base + VARIANCE] as number)) / Math.sqrt(weight)
    for (const [field, q] of [
      [MEDIAN, 0.5],
      [P95, 0.95]
    ] as const)
      f[base + field] = (f[base + field] as number) + step * (log > (f[base + field] as number) ? q : q - 1) * 0.5
  }

  /** The artifact's number is free for another, of which nothing is known. */
  forgetArtifact(artifact: number): void {
    for (let at = 0; at < this.#size; at++)
      if (this.#keys[at * 2 + 1] === artifact) this.#fields[at * FIELDS + WEIGHT] = 0
  }

  get(device: number, artifact: number): PairProfile | null {
    const at = this.#find(device, artifact)
    if (at < 0 || this.#fields[at * FIELDS + WEIGHT] === 0) return null
    const [mean, variance, median, p95, weight] = this.#fields.subarray(at * FIELDS, (at + 1) * FIELDS)
    return {
      logMean: mean as number,
      logVariance: variance as number,
      p50Ms: Math.exp(median as number),
      p95Ms: Math.exp(p95 as number),
      runs: weight as number
    }
  }

  #find(device: number, artifact: number): number {
    const mask = this.#index.length - 1
    for (let slot = hash(device, artifact) & mask; ; slot = (slot + 1) & mask) {
      const at = (this.#index[slot] as number) - 1
      if (at < 0 || (this.#keys[at * 2] === device && this.#keys[at * 2 + 1] === artifact)) return at
    }
  }

  #insert(device: number, artifact: number): number {
    if ((this.#size + 1) * 3 > this.#index.length * 2) this.#reindex(this.#index.length * 2)
    if (this.#size * FIELDS === this.#fields.length) {
      const fields = new Float32Array(Math.ceil(this.#size * 1.25) * FIELDS)
      fields.set(this.#fields)
      const keys = new Int32Array((fields.length / FIELDS) * 2)
      keys.set(this.#keys)
      this.#fields = fields
      this.#keys = keys
    }
    this.#keys[this.#size * 2] = device
    this.#keys[this.#size * 2 + 1] = artifact
    this.#place(this.#size)
    return this.#size++
  }

  #reindex(length: number): void {
    this.#index = new Int32Array(length)
    for (let at = 0; at < this.#size; at++) this.#place(at)
  }

  #place(at: number): void {
    const mask = this.#index.length - 1
    let slot = hash(this.#keys[at * 2] as number, this.#keys[at * 2 + 1] as number) & mask
    while (this.#index[slot] !== 0) slot = (slot + 1) & mask
    this.#index[slot] = at + 1
  }
}

const hash = (device: number, artifact: number): number => {
  const mixed = Math.imul(device, 0x9e3779b1) ^ Math.imul(artifact + 1, 0x85ebca6b)
  return (mixed ^ (mixed >>> 15)) >>> 0
}
