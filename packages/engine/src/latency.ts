import type { Latency, LatencyFrame, LatencyQuery } from '@skerry/contracts'
import type { LatencySeries } from '@skerry/registry'
import { Histogram, type HistogramJson, merge } from '@skerry/telemetry'
import type { Static } from 'typebox'
import type { EngineResources } from './resources.ts'

const WINDOW_MS = 60_000
const mergeJson = (a: unknown, b: unknown): HistogramJson =>
  merge(Histogram.fromJSON(a), Histogram.fromJSON(b)).toJSON()

/** Latency as devices report it: histograms by minute and series, merged by addition. */
export class LatencyStore {
  readonly #resources: EngineResources
  constructor(resources: EngineResources) {
    this.#resources = resources
  }

  /** Counts a device's frame once, however often it is sent. Series of artifacts that are gone are left out. */
  async add(deviceId: string, frame: Static<typeof LatencyFrame>): Promise<void> {
    const series: LatencySeries[] = []
    for (const { artifact, deployment, runtime, histogram } of frame.series) {
      const known = await this.#resources.registry.models.servedVariant(deployment, artifact)
      if (known === null) continue
      // Throws on anything that is not a histogram, before any of the frame is counted.
      const checked = Histogram.fromJSON(histogram).toJSON()
      series.push({
        deployment,
        artifact,
        runtime,
        model: known.model,
        variant: known.variant,
        histogram: checked
      })
    }
    const windowStart = new Date(Math.floor(this.#resources.nowMs() / WINDOW_MS) * WINDOW_MS)
    await this.#resources.registry.measurements.addLatency(deviceId, frame.seq, windowStart, series, mergeJson)
  }

  async quantiles(query: LatencyQuery): Promise<Latency> {
    const windowMs = query.windowMs ?? 3_600_000
    // A window counts whole when any of it lies within the time asked for.
    const since = new Date(this.#resources.nowMs() - windowMs - WINDOW_MS)
    const { model, variant, device: deviceId } = query
    const stored = await this.#resources.registry.measurements.latencyWindows({ model, variant, deviceId, since })
    const all = stored.reduce((sum: Histogram, json) => merge(sum, Histogram.fromJSON(json)), new Histogram())
    const [p50, p90, p95, p99] = [0.5, 0.9, 0.95, 0.99].map((q) => all.quantile(q)) as [number, number, number, number]
    return { unit: 'ms', windowMs, count: all.count, p50, p90, p95, p99 }
  }
}
