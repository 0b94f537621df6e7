import { type BenchmarkResult, type RuntimeName, TENSOR_ARRAYS } from '@skerry/contracts'
import { type ModelSession, statistics, type TensorData } from '@skerry/runtimes'
import { elementCount } from '@skerry/tflite'
import type { Logger } from 'pino'
import { AgentError } from '../agent-error.ts'
import { filesOf, type Unit } from '../plan.ts'
import type { Reconciler } from '../reconciler.ts'
import { check, firstGoldenInput } from '../steps/check.ts'
import { fetchFile } from '../steps/fetch.ts'
import { load } from '../steps/load.ts'
import type { StepDeps } from '../steps/step-deps.ts'
import { verify } from '../steps/verify.ts'
import { datatypeOf } from '../tensor-values.ts'
import type { JobExecutor } from './job-outcome.ts'

export type BenchmarkDeps = StepDeps & {
  reconciler: Reconciler
  now: () => number
  log: Logger
  /** What stands in a result beside its times. */
  detailsOf: (runtime: RuntimeName) => Pick<BenchmarkResult, 'runtimeVersion' | 'threads'>
  /** The device need not measure this by itself any more. */
  onMeasured: (result: BenchmarkResult) => Promise<void>
}

/**
 * Measures one artifact on one runtime: fetched, verified and proven like a placement, then `warmupRuns` and `runs`
 * inferences one after another, and what TFLite's benchmark_model tells of them. Unlike that, and unlike profileModel,
 * the input is a golden one where there is any: some kernels are faster on zeros or noise.
 */
export function benchmarkExecutor(deps: BenchmarkDeps): JobExecutor<'benchmark'> {
  return async (work, _body, { jobId, epoch, receivedAtMs, signal, progress }) => {
    const { artifact, runtime, manifest, signature } = work
    if (work.runs < 1) throw new AgentError('option-invalid', 'A benchmark needs at least one run.')
    const unit: Unit = { id: `benchmark:${jobId}-${epoch}`, artifact, runtime, manifest, signature, deployments: [] }
    const files = filesOf(unit)
    const release = deps.reconciler.pin([...files, unit.id])
    try {
      for (const file of files) await fetchFile(unit, file, deps, signal)
      await verify(unit, deps, signal)
      progress('load', 10, `Loading ${artifact} on ${runtime}`)
      const initMs = await load(unit, deps)
      const { session } = await deps.host.model(unit.id)
      const inputs = (await firstGoldenInput(unit, session, deps)) ?? emptyInputs(session)
      const invoke = async (): Promise<number> => (await deps.host.run(unit.id, inputs, signal)).timings.inferenceMs
      const firstMs = await invoke()
      await check(unit, deps, signal)
      const warmupMs: number[] = []
      for (let run = 0; run < work.warmupRuns; run++) warmupMs.push(await invoke())
      const runsMs: number[] = []
      for (let run = 0; run < work.runs; run++) {
        runsMs.push(await invoke())
        progress('measure', 20 + (80 * (run + 1)) / work.runs, `Run ${run + 1} of ${work.runs}`)
      }
      const { count: runs, ...steady } = statistics(runsMs)
      const warmup = statistics(warmupMs)
      const peakRssBytes = await deps.host.peakRssBytes(runtime)
      const benchmark: BenchmarkResult = {
        ...{ artifact, runtime, ...deps.detailsOf(runtime), runs, initMs, firstMs, ...steady },
        ...{ warmupRuns: warmup.count, ...(warmup.count === 0 ? {} : { warmupAvgMs: warmup.avgMs }) },
        peakRssBytes
      }
      await deps.onMeasured(benchmark)
      const timings = { deviceMs: deps.now() - receivedAtMs, inferenceMs: 0, quantizeMs: 0, dequantizeMs: 0 }
      return { result: { runtime, timings, benchmark }, body: [] }
    } finally {
      await deps.host.unload(unit.id).catch((error: unknown) => deps.log.warn({ error }, 'a model was not unloaded'))
      release()
    }
  }
}

/** Zeros, for a model without golden inputs. */
export function emptyInputs(session: Pick<ModelSession, 'inputs'>): Map<string, TensorData> {
  return new Map(
    session.inputs.map(({ name, dtype, shape }) => [name, new TENSOR_ARRAYS[datatypeOf(dtype)](elementCount(shape))])
  )
}
