import { grown } from './grow.ts'

/** Doublings after which the counts are scaled down, long before they leave a double's range. */
const DOUBLINGS_AT_MOST = 64

/**
 * How often requests of each artifact failed lately, beside all: what failed more goes first. A count halves in each
 * half-life, so that what was served badly once is not paid for for ever.
 */
export class Fairness {
  readonly #halfLifeMs: number
  #asked = new Float64Array(0)
  #failed = new Float64Array(0)
  #allAsked = 0
  #allFailed = 0
  /** An outcome of this time counts 1. Later ones count more, which is the same as earlier ones fading. */
  #sinceMs = Number.NaN
  #nowMs = Number.NEGATIVE_INFINITY
  #one = 1

  constructor(halfLifeMs: number) {
    this.#halfLifeMs = halfLifeMs
  }

  note(artifact: number, failed: boolean, nowMs: number): void {
    this.#asked = grown(this.#asked, artifact + 1)
    this.#failed = grown(this.#failed, artifact + 1)
    const one = this.#oneAt(nowMs)
    this.#asked[artifact] = (this.#asked[artifact] as number) + one
    this.#allAsked += one
    if (!failed) return
    this.#failed[artifact] = (this.#failed[artifact] as number) + one
    this.#allFailed += one
  }

  forget(artifact: number): void {
    if (artifact >= this.#asked.length) return
    this.#allAsked = Math.max(0, this.#allAsked - (this.#asked[artifact] as number))
    this.#allFailed = Math.max(0, this.#allFailed - (this.#failed[artifact] as number))
    this.#asked[artifact] = 0
    this.#failed[artifact] = 0
  }

  /** Logarithm of the artifact's failed share over that of all; zero while nothing is known, or what was has faded. */
  logShare(artifact: number, nowMs: number): number {
    const one = this.#oneAt(nowMs)
    const share = ((this.#failed[artifact] ?? 0) + one) / ((this.#asked[artifact] ?? 0) + 10 * one)
    return Math.log((share * (this.#allAsked + 10 * one)) / (this.#allFailed + one))
  }

  /** What one outcome of now counts. A clock that steps back stands still. */
  #oneAt(nowMs: number): number {
    if (nowMs <= this.#nowMs) return this.#one
    this.#nowMs = nowMs
    if (Number.isNaN(this.#sinceMs)) this.#sinceMs = this.#nowMs
    const doublings = (this.#nowMs - this.#sinceMs) / this.#halfLifeMs
    this.#one = 2 ** doublings
    if (!(doublings > DOUBLINGS_AT_MOST)) return this.#one
    const keeps = 2 ** -doublings
    for (const counts of [this.#asked, this.#failed])
      for (let each = 0; each < counts.length; each++) counts[each] = (counts[each] as number) * keeps
    this.#allAsked *= keeps
    this.#allFailed *= keeps
    this.#sinceMs = this.#nowMs
    this.#one = 1
    return 1
  }
}
