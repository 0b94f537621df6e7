/** Pairs of kind and artifact of which what is known may be wrong by now: their next run or benchmark decides at once. */
export class Doubts {
  readonly #kindsOf = new Map<number, Set<number>>()

  add(kind: number, artifact: number): void {
    const kinds = this.#kindsOf.get(artifact)
    if (kinds === undefined) this.#kindsOf.set(artifact, new Set([kind]))
    else kinds.add(kind)
  }

  has(kind: number, artifact: number): boolean {
    return this.#kindsOf.get(artifact)?.has(kind) === true
  }

  /** Whether it was there. */
  settle(kind: number, artifact: number): boolean {
    const kinds = this.#kindsOf.size === 0 ? undefined : this.#kindsOf.get(artifact)
    if (kinds?.delete(kind) !== true) return false
    if (kinds.size === 0) this.#kindsOf.delete(artifact)
    return true
  }

  forgetArtifact(artifact: number): void {
    this.#kindsOf.delete(artifact)
  }
}
