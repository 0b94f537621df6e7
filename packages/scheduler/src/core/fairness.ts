import { grown } from './grow.ts'

/** How often requests of each artifact failed, beside all: what failed more goes first. */
export class Fairness {
  #asked = new Float64Array(0)
  #failed = new Float64Array(0)
  #allAsked = 1
  #allFailed = 0

  note(artifact: number, failed: boolean): void {
    this.#asked = grown(this.#asked, artifact + 1)
    this.#failed = grown(this.#failed, artifact + 1)
    this.#asked[artifact] = (this.#asked[artifact] as number) + 1
    this.#allAsked += 1
    if (!failed) return
    this.#failed[artifact] = (this.#failed[artifact] as number) + 1
    this.#allFailed += 1
  }

  forget(artifact: number): void {
    if (artifact >= this.#asked.length) return
    this.#allAsked -= this.#asked[artifact] as number
    this.#allFailed -= this.#failed[artifact] as number
    this.#asked[artifact] = 0
    this.#failed[artifact] = 0
  }

  /** Logarithm of the artifact's failed share over that of all; zero while nothing is known. */
  logShare(artifact: number): number {
    const share = ((this.#failed[artifact] ?? 0) + 1) / ((this.#asked[artifact] ?? 0) + 10)
    return Math.log((share * (this.#allAsked + 10)) / (this.#allFailed + 1))
  }
}
