import type { PredictedLatency } from '@skerry/contracts'
import type { LogLatency } from './latency-table.ts'

/** Standard normal quantiles. */
const Z90 = 1.2816
const Z95 = 1.6449
const Z99 = 2.3263

/** A run's latency is taken for lognormal; so is what is left of a prediction. */
export function predictedQuantiles({ logMs, logSd }: LogLatency): PredictedLatency {
  const at = (z: number) => Math.exp(logMs + z * logSd)
  return { p50Ms: at(0), p90Ms: at(Z90), p95Ms: at(Z95), p99Ms: at(Z99), source: 'predicted' }
}

/** From a benchmark, which tells p50 and p99, and p95 where the agent is new enough; the rest as of a lognormal. */
export function benchmarkQuantiles(benchmark: {
  p50Ms: number
  p95Ms: number | null
  p99Ms: number
}): PredictedLatency {
  const { p50Ms } = benchmark
  const p99Ms = Math.max(benchmark.p99Ms, p50Ms)
  const between = (share: number, end: number) => p50Ms * (end / p50Ms) ** share
  const p95Ms = Math.min(Math.max(benchmark.p95Ms ?? between(Z95 / Z99, p99Ms), p50Ms), p99Ms)
  return { p50Ms, p90Ms: between(Z90 / Z95, p95Ms), p95Ms, p99Ms, source: 'measured' }
}

/** A latency that all but one run in a hundred are beyond, where all is as predicted. */
export function optimisticMs({ p50Ms, p95Ms }: PredictedLatency): number {
  return p50Ms * (p50Ms / p95Ms) ** (Z99 / Z95)
}
