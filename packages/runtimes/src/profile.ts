import { tensorBytes } from '@skerry/tflite'
import type { CallOptions, LoadedModel, TfliteRuntime } from './runtime.ts'

/** Of the runs of one phase, milliseconds as the child measured them. Quantiles are values that occurred (nearest rank). */
export type RunStatistics = {
  count: number
  avgMs: number
  /** Of the whole phase, not of a sample from it. */
  stdMs: number
  minMs: number
  maxMs: number
  p50Ms: number
  p95Ms: number
  p99Ms: number
}

export type RuntimeProfile = {
  /** Loading, with the preparation of operators. */
  initMs: number
  /** The first inference, which may allocate and unpack what later ones find. */
  firstMs: number
  warmup: RunStatistics
  steady: RunStatistics
  /** The most memory that the process held since it began, other models' with it. */
  peakRssBytes: number
}

/** Each phase runs until it has both its least runs and its least time, at most `maxDurationMs`. */
export type ProfileOptions = CallOptions & {
  warmupRuns?: number
  warmupDurationMs?: number
  runs?: number
  durationMs?: number
  maxDurationMs?: number
  /** Numbers in [0, 1) that fill the inputs. */
  random?: () => number
  now?: () => number
}

/**
 * Measures a loaded model as TFLite's benchmark_model does (tensorflow/lite/tools/benchmark), with its defaults: one run
 * and 0.5 s to warm up, then 50 runs and 1 s.
 */
export async function profileModel(
  runtime: TfliteRuntime,
  modelId: string,
  loaded: LoadedModel,
  options: ProfileOptions = {}
): Promise<RuntimeProfile> {
  const { random = Math.random, now = () => performance.now(), maxDurationMs = 150_000 } = options
  const call: CallOptions = {
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs })
  }
  const inputs = randomInputs(loaded, random)
  const run = async () => (await runtime.invoke(modelId, inputs, call)).inferenceMs
  const phase = async (runs: number, durationMs: number): Promise<RunStatistics> => {
    const started = now()
    const times: number[] = []
    for (let passed = 0; (times.length < runs || passed < durationMs) && passed < maxDurationMs; ) {
      times.push(await run())
      passed = now() - started
    }
    return statistics(times)
  }
  const firstMs = await run()
  const warmup = await phase(options.warmupRuns ?? 1, options.warmupDurationMs ?? 500)
  const steady = await phase(options.runs ?? 50, options.durationMs ?? 1000)
  const { peakRssBytes } = await runtime.stats()
  return { initMs: loaded.loadMs, firstMs, warmup, steady, peakRssBytes }
}

export function statistics(times: readonly number[]): RunStatistics {
  const sorted = [...times].sort((a, b) => a - b)
  const count = sorted.length
  const avgMs = sorted.reduce((sum, each) => sum + each, 0) / count
  const variance = sorted.reduce((sum, each) => sum + (each - avgMs) ** 2, 0) / count
  const quantile = (q: number) => sorted[Math.max(Math.ceil(q * count) - 1, 0)] ?? Number.NaN
  return {
    count,
    avgMs,
    stdMs: Math.sqrt(variance),
    minMs: quantile(0),
    maxMs: quantile(1),
    p50Ms: quantile(0.5),
    p95Ms: quantile(0.95),
    p99Ms: quantile(0.99)
  }
}

/** As benchmark_model: floats in [-0.5, 0.5), whole numbers from 0 to 99, which are indices that most tables have. */
function randomInputs({ inputs }: LoadedModel, random: () => number): Map<string, Uint8Array> {
  return new Map(
    inputs.map(({ name, dtype, shape }) => {
      const bytes = new Uint8Array(tensorBytes(dtype, shape) ?? 0)
      if (dtype === 'float32')
        new Float32Array(bytes.buffer).forEach((_, at, to) => {
          to[at] = random() - 0.5
        })
      else if (dtype === 'float16') new Uint16Array(bytes.buffer).fill(0x3400)
      else if (dtype === 'bool')
        bytes.forEach((_, at) => {
          bytes[at] = random() < 0.5 ? 0 : 1
        })
      else if (dtype === 'int8' || dtype === 'uint8')
        bytes.forEach((_, at) => {
          bytes[at] = random() * 100
        })
      return [name, bytes]
    })
  )
}
