import type { Static } from 'typebox'
import { RuntimeInfo, RuntimeName } from './runtimes.ts'
import { Sha256, Timestamp } from './schema.ts'
import { Type } from './type.ts'

/** As TFLite's benchmark_model: milliseconds of the runtime's own invoke; all runs are steady ones unless said otherwise. */
export const BenchmarkResult = Type.Object({
  artifact: Sha256,
  runtime: RuntimeName,
  runs: Type.Integer(),
  initMs: Type.Number(),
  firstMs: Type.Number(),
  p50Ms: Type.Number(),
  p99Ms: Type.Number(),
  // Absent from agents of before.
  p95Ms: Type.Optional(Type.Number()),
  avgMs: Type.Optional(Type.Number()),
  stdMs: Type.Optional(Type.Number({ description: 'Of all steady runs, not of a sample from them' })),
  minMs: Type.Optional(Type.Number()),
  maxMs: Type.Optional(Type.Number()),
  warmupRuns: Type.Optional(Type.Integer()),
  warmupAvgMs: Type.Optional(Type.Number()),
  peakRssBytes: Type.Optional(
    Type.Integer({ description: "The most that the runtime's process held since it began, other models with it" })
  ),
  runtimeVersion: Type.Optional(Type.String({ maxLength: 200 })),
  threads: Type.Optional(Type.Integer({ minimum: 1 }))
})
export type BenchmarkResult = Static<typeof BenchmarkResult>

/** Of one model on one runtime, milliseconds of the runtime's own invoke; all runs but the first are steady ones. */
const BuiltInTimes = Type.Object({
  initMs: Type.Number(),
  firstMs: Type.Number(),
  p50Ms: Type.Number(),
  p99Ms: Type.Number()
})
/** A runtime on a 3x3 depthwise convolution over 64x64x64 that every agent has built in, so that devices compare. */
export const RuntimeBenchmark = Type.Object({
  name: RuntimeName,
  version: Type.String({ maxLength: 200 }),
  accelerators: RuntimeInfo.properties.accelerators,
  threads: Type.Integer({ minimum: 1 }),
  at: Timestamp,
  float32: BuiltInTimes,
  int8: Type.Optional(BuiltInTimes)
})
export type RuntimeBenchmark = Static<typeof RuntimeBenchmark>
