import type { PredictedLatency, RuntimeInfo, Variant } from '@skerry/contracts'
import type { KindBenchmark, PlannableDevice, Registry } from '@skerry/registry'
import {
  benchmarkQuantiles,
  type DeviceEvidence,
  LatencyTable,
  type MeasuredCell,
  type OperatorSupport,
  predictedQuantiles,
  type RankedVariant
} from '@skerry/scheduler'
import { Histogram } from '@skerry/telemetry'
import { MemoryEvidence } from './memory-evidence.ts'

/** What was measured longer ago says little of a device's state now. */
const BENCHMARKS_OF_DAYS = 90
const RUNS_OF_HOURS = 24
const DAY_MS = 86_400_000
/** Bounds of what is read: cells of the table of kinds, and minutes of latency histograms. */
const MAX_CELLS = 20_000
const MAX_WINDOWS = 30_000
/** Runs that a histogram needs before its p95 says anything. */
const ENOUGH_RUNS = 50
/** A device's own factor beside its kind counts as if it was seen this often to be 1. */
const FACTOR_PRIOR = 2

type Serving = { model: string; variant: Variant }
/**
 * Which figure of a pair that has both counts: what its runs took (`runs`: as it is in use), or its benchmark
 * (`benchmarks`: it does not move with the load, so that a decision which rests on it does not swing).
 */
export type Preference = 'runs' | 'benchmarks'

/** What is known of latency and memory of some variants on a fleet, read at once. */
export class PlanEvidence {
  readonly #table: LatencyTable
  readonly #memory: MemoryEvidence
  readonly #pairs: ReadonlyMap<string, PredictedLatency>
  readonly #predicted = new Map<string, PredictedLatency | null>()
  readonly #artifacts: readonly string[]
  readonly #support: OperatorSupport
  readonly #supported = new Map<string, string | null>()

  private constructor(parts: {
    table: LatencyTable
    memory: MemoryEvidence
    pairs: ReadonlyMap<string, PredictedLatency>
    artifacts: readonly string[]
    support: OperatorSupport
  }) {
    this.#table = parts.table
    this.#memory = parts.memory
    this.#pairs = parts.pairs
    this.#artifacts = parts.artifacts
    this.#support = parts.support
  }

  static async read(
    registry: Registry,
    serving: readonly Serving[],
    devices: readonly PlannableDevice[],
    options: { nowMs: number; prefer: Preference; support: OperatorSupport }
  ): Promise<PlanEvidence> {
    const artifacts = [...new Set(serving.flatMap(({ variant }) => variant.sha256 ?? []))]
    const models = [...new Set(serving.map(({ model }) => model))]
    const ago = (days: number) => new Date(options.nowMs - days * DAY_MS)
    const [benchmarks, kinds, windows] = await Promise.all([
      registry.planReads.pairBenchmarks(artifacts),
      registry.planReads.kindBenchmarks(ago(BENCHMARKS_OF_DAYS), MAX_CELLS),
      registry.planReads.pairLatencies(models, artifacts, ago(RUNS_OF_HOURS / 24), MAX_WINDOWS)
    ])
    const estimates = await registry.planReads.estimates([
      ...new Set([...artifacts, ...kinds.map(({ artifact }) => artifact)])
    ])
    const pairs = new Map<string, PredictedLatency>()
    for (const benchmark of benchmarks)
      pairs.set(pairKey(benchmark.deviceId, benchmark.artifact, benchmark.runtime), benchmarkQuantiles(benchmark))
    for (const [key, histogram] of mergedRuns(windows))
      if (histogram.count >= ENOUGH_RUNS && (options.prefer === 'runs' || !pairs.has(key)))
        pairs.set(key, runQuantiles(histogram))
    const cells = [...cellsOf(kinds), ...conversionCells(serving), ...pairCells(devices, artifacts, pairs)]
    const macs = new Map(estimates.flatMap(({ artifact, macs: each }) => (each === null ? [] : [[artifact, each]])))
    return new PlanEvidence({
      table: new LatencyTable(cells, artifacts, macs),
      memory: new MemoryEvidence(benchmarks, kinds, estimates),
      pairs,
      artifacts,
      support: options.support
    })
  }

  /** `memoryAvailableBytes` as in DeviceEvidence. */
  of(
    device: PlannableDevice,
    memoryAvailableBytes: number | null,
    failure: DeviceEvidence['failure'] = () => undefined
  ): DeviceEvidence {
    const loaded = new Set(device.loaded)
    const factors = new Map<string, number>()
    return {
      runtimes: device.runtimes,
      memoryAvailableBytes,
      isLoaded: (artifact) => loaded.has(artifact),
      support: (ranked, runtime) => this.#supportOf(ranked, runtime),
      failure,
      latency: (artifact, runtime) => this.#latency(device, artifact, runtime, factors),
      memory: ({ artifact }, { name }) => this.#memory.of(device.id, artifact, name)
    }
  }

  /** The operator table is asked once per runtime and artifact, not once per device. */
  #supportOf(ranked: RankedVariant, runtime: RuntimeInfo): string | null {
    const key = `${runtime.name} ${runtime.version} ${ranked.artifact}`
    const known = this.#supported.get(key)
    if (known !== undefined) return known
    const answer = this.#support(runtime, ranked.variant.operators ?? [])
    this.#supported.set(key, answer)
    return answer
  }

  #latency(
    device: PlannableDevice,
    artifact: string,
    { name }: RuntimeInfo,
    factors: Map<string, number>
  ): PredictedLatency | null {
    const measured = this.#pairs.get(pairKey(device.id, artifact, name))
    if (measured !== undefined) return measured
    const kind = kindOf(device, name)
    let factor = factors.get(name)
    if (factor === undefined) {
      factor = this.#factor(device, kind, name)
      factors.set(name, factor)
    }
    const key = `${kind} ${artifact} ${factor}`
    const known = this.#predicted.get(key)
    if (known !== undefined) return known
    const prediction = this.#table.predict(kind, artifact)
    const answer = prediction === null ? null : predictedQuantiles({ ...prediction, logMs: prediction.logMs + factor })
    this.#predicted.set(key, answer)
    return answer
  }

  /** Natural logarithm of how much slower the device is than its kind, by what both measured of these variants. */
  #factor(device: PlannableDevice, kind: string, runtime: string): number {
    let sum = 0
    let count = 0
    for (const artifact of this.#artifacts) {
      const own = this.#pairs.get(pairKey(device.id, artifact, runtime))
      const usual = this.#table.measured(kind, artifact)
      if (own === undefined || usual === null) continue
      sum += Math.log(own.p50Ms) - usual
      count += 1
    }
    return sum / (count + FACTOR_PRIOR)
  }
}

export const kindOf = (
  { arch, cpuModel, cores }: Pick<KindBenchmark, 'arch' | 'cpuModel' | 'cores'>,
  runtime: string
) => `${arch}|${cpuModel}|${cores}|${runtime}`

const pairKey = (deviceId: string, artifact: string, runtime: string): string => `${deviceId} ${artifact} ${runtime}`

function mergedRuns(
  windows: readonly { deviceId: string; artifact: string; runtime: string; histogram: unknown }[]
): Map<string, Histogram> {
  const parts = new Map<string, Histogram[]>()
  for (const { deviceId, artifact, runtime, histogram } of windows) {
    const key = pairKey(deviceId, artifact, runtime)
    const known = parts.get(key) ?? []
    if (known.length === 0) parts.set(key, known)
    known.push(Histogram.fromJSON(histogram))
  }
  return new Map([...parts].map(([key, histograms]) => [key, Histogram.merge(...histograms)]))
}

function runQuantiles(histogram: Histogram): PredictedLatency {
  // A count of zero milliseconds is what no clock measured: it has no logarithm.
  const at = (q: number) => Math.max(histogram.quantile(q) ?? 0, 1e-6)
  return { p50Ms: at(0.5), p90Ms: at(0.9), p95Ms: at(0.95), p99Ms: at(0.99), source: 'measured' }
}

const cellsOf = (kinds: readonly KindBenchmark[]): MeasuredCell[] =>
  kinds.map((each) => ({ kind: kindOf(each, each.runtime), artifact: each.artifact, logMs: each.logP50 }))

/** Every variant was timed where it was converted: a kind of its own, which ran them all. */
const conversionCells = (serving: readonly Serving[]): MeasuredCell[] =>
  serving.flatMap(({ variant: { sha256, runtimes = [] } }) =>
    runtimes.flatMap(({ name, p50Ms }) =>
      sha256 !== undefined && p50Ms !== undefined && p50Ms > 0
        ? [{ kind: `conversion|${name}`, artifact: sha256, logMs: Math.log(p50Ms) }]
        : []
    )
  )

/** Means over equal devices; they replace the benchmarks' own, since they know of runs as well. */
function pairCells(
  devices: readonly PlannableDevice[],
  artifacts: readonly string[],
  pairs: ReadonlyMap<string, PredictedLatency>
): MeasuredCell[] {
  const sums = new Map<string, { kind: string; artifact: string; sum: number; count: number }>()
  if (pairs.size === 0) return []
  for (const device of devices)
    for (const { name } of device.runtimes)
      for (const artifact of artifacts) {
        const own = pairs.get(pairKey(device.id, artifact, name))
        if (own === undefined) continue
        const kind = kindOf(device, name)
        const entry = sums.get(`${kind} ${artifact}`) ?? { kind, artifact, sum: 0, count: 0 }
        entry.sum += Math.log(own.p50Ms)
        entry.count += 1
        sums.set(`${kind} ${artifact}`, entry)
      }
  return [...sums.values()].map(({ kind, artifact, sum, count }) => ({ kind, artifact, logMs: sum / count }))
}
