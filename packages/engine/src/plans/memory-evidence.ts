import type { PredictedMemory } from '@skerry/contracts'
import type { ArtifactEstimate, KindBenchmark, PairBenchmark } from '@skerry/registry'

/**
 * Memory of a runtime's process that runs an artifact. A benchmark tells what the process held at most since it began,
 * other models with it, so the least of several readings is the nearest. Elsewhere it is the estimate from the file,
 * and what processes of the same runtime held beyond their artifacts' estimates, at the least.
 */
export class MemoryEvidence {
  readonly #pairs: ReadonlyMap<string, number>
  readonly #estimates: ReadonlyMap<string, number>
  readonly #beyond = new Map<string, number>()

  constructor(
    benchmarks: readonly PairBenchmark[],
    kinds: readonly KindBenchmark[],
    estimates: readonly ArtifactEstimate[]
  ) {
    this.#pairs = new Map(
      benchmarks.flatMap(({ deviceId, artifact, runtime, peakRssBytes }) =>
        peakRssBytes === null ? [] : [[`${deviceId} ${artifact} ${runtime}`, peakRssBytes]]
      )
    )
    this.#estimates = new Map(
      estimates.flatMap(({ artifact, peakMemoryBytes }) =>
        peakMemoryBytes === null ? [] : [[artifact, peakMemoryBytes]]
      )
    )
    for (const { artifact, runtime, peakRssBytes } of kinds) {
      const estimate = this.#estimates.get(artifact)
      if (peakRssBytes === null || estimate === undefined) continue
      const beyond = Math.max(0, peakRssBytes - estimate)
      this.#beyond.set(runtime, Math.min(beyond, this.#beyond.get(runtime) ?? Number.MAX_SAFE_INTEGER))
    }
  }

  /** Null when neither a benchmark nor the converter told anything. */
  of(deviceId: string, artifact: string, runtime: string): PredictedMemory | null {
    const measured = this.#pairs.get(`${deviceId} ${artifact} ${runtime}`)
    if (measured !== undefined) return { bytes: measured, source: 'measured' }
    const estimate = this.#estimates.get(artifact)
    if (estimate === undefined) return null
    const beyond = this.#beyond.get(runtime)
    return beyond === undefined
      ? { bytes: Math.round(estimate), source: 'estimated' }
      : { bytes: Math.round(estimate + beyond), source: 'predicted' }
  }
}
