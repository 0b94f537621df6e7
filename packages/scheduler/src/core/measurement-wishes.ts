import { grown } from './grow.ts'

/** A device of a kind that should be timed with an artifact again. */
export type MeasurementWish = { device: number; artifact: number }

const NEVER = 0

/**
 * What should be measured again because work was refused for what was learnt long ago: a latency that is wrong and high
 * keeps away the runs that would show it. At most one wish for an artifact in `afterMs`, of the kind that ran it longest
 * ago, so that each has its turn.
 */
export class MeasurementWishes {
  readonly #afterMs: number
  /** By artifact, by kind. */
  readonly #ranAtMs: (Float64Array | undefined)[] = []
  readonly #wishedAtMs = new Map<number, number>()
  readonly #open = new Map<number, MeasurementWish>()

  constructor(afterMs: number) {
    this.#afterMs = afterMs
  }

  noteRun(kind: number, artifact: number, nowMs: number): void {
    while (this.#ranAtMs.length <= artifact) this.#ranAtMs.push(undefined)
    const known = grown(this.#ranAtMs[artifact] ?? new Float64Array(4), kind + 1)
    known[kind] = nowMs
    this.#ranAtMs[artifact] = known
  }

  /** The one of these kinds whose runs with the artifact are too long ago. Of a kind that is new, they count from now. */
  stalest(kinds: Iterable<number>, artifact: number, nowMs: number): number | undefined {
    if (nowMs - (this.#wishedAtMs.get(artifact) ?? Number.NEGATIVE_INFINITY) < this.#afterMs) return undefined
    let stalest: number | undefined
    let stalestMs = nowMs - this.#afterMs
    for (const kind of kinds) {
      const ranAtMs = this.#ranAtMs[artifact]?.[kind] ?? NEVER
      if (ranAtMs === NEVER) this.noteRun(kind, artifact, nowMs)
      else if (ranAtMs <= stalestMs) {
        stalest = kind
        stalestMs = ranAtMs
      }
    }
    return stalest
  }

  add(wish: MeasurementWish, kind: number, nowMs: number): void {
    this.#open.set(wish.artifact, wish)
    this.#wishedAtMs.set(wish.artifact, nowMs)
    this.noteRun(kind, wish.artifact, nowMs)
  }

  /** Those that were not taken yet. */
  take(): MeasurementWish[] {
    const wishes = [...this.#open.values()]
    this.#open.clear()
    return wishes
  }

  dropDevice(device: number): void {
    for (const [artifact, wish] of this.#open) if (wish.device === device) this.#open.delete(artifact)
  }

  forgetArtifact(artifact: number): void {
    this.#ranAtMs[artifact] = undefined
    this.#wishedAtMs.delete(artifact)
    this.#open.delete(artifact)
  }
}
