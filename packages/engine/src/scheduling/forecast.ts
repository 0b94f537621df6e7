import { LatencyModel, type PairProfile, PairProfiles } from '@skerry/scheduler'
import type { Metrics } from '@skerry/telemetry'
import { Indices } from './indices.ts'

/**
 * What work will take where, learnt from what it took. A column is work that is alike on all devices (a deployment); a
 * kind is devices that are alike (hardware and runtimes). Milliseconds from the frame that assigns a job to its result,
 * because that is how long a slot is taken.
 */
export class Forecast {
  readonly model = new LatencyModel()
  readonly #pairs = new PairProfiles()
  readonly #columns = new Indices()
  readonly #kinds = new Indices()
  readonly #measured = new Set<number>()
  readonly #metrics: Metrics

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  kind(text: string): number {
    return this.#kinds.of(text)
  }

  column(work: string): number {
    return this.#columns.of(work)
  }

  /** Undefined for work that has none. */
  columnIf(work: string): number | undefined {
    return this.#columns.find(work)
  }

  /** Answers the column that is free for other work now. */
  forget(work: string): number | undefined {
    const column = this.#columns.giveBack(work)
    if (column === undefined) return undefined
    this.model.forgetArtifact(column)
    this.#pairs.forgetArtifact(column)
    this.#measured.delete(column)
    return column
  }

  /** Whether the work ever ran, or was timed, anywhere. */
  knows(column: number): boolean {
    return this.#measured.has(column)
  }

  /** A benchmark's median, where nothing better is known, or what is known is in doubt. */
  seed(device: number, column: number, p50Ms: number, runs: number): void {
    const isDoubted = this.model.doubts.has(this.model.kindOf(device), column)
    if (!isDoubted && this.#pairs.get(device, column) !== null) return
    this.#measured.add(column)
    this.model.seed(device, column, p50Ms, runs)
  }

  observe(device: number, column: number, latencyMs: number): void {
    if (this.#measured.has(column)) {
      const { logMs, source } = this.model.predict(device, column)
      this.#metrics.predictionError.observe({ source }, Math.exp(Math.abs(Math.log(latencyMs) - logMs)))
    }
    this.#measured.add(column)
    this.model.observe(device, column, latencyMs)
    this.#pairs.observe(device, column, latencyMs)
  }

  /** What runs of this very pair took; null where there was none. */
  profile(device: number, column: number): PairProfile | null {
    return this.#pairs.get(device, column)
  }
}
