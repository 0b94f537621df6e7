import {
  type LoadedModel,
  ModelSession,
  RuntimeError,
  type RuntimeName,
  type SessionOutput,
  startRuntime,
  type TfliteRuntime
} from '@skerry/runtimes'
import { describeMissing, missingOperators } from '@skerry/runtimes/operators'
import type { OperatorUse } from '@skerry/tflite'
import { type ArrayData, type ArrayDtype, isArrayDtype, type NamedArray, rows } from './array.ts'
import type { NameMap } from './types.ts'

/** What a variant answered on one runtime, under the original's names, dequantized: [samples, ...] per output. */
export type Trial = {
  loaded: LoadedModel
  outputs: NamedArray[]
  p50Ms: number
  /** What it answered to the probes; the runtime's own words where it failed on them. */
  probes?: NamedArray[] | { failed: string }
}

export type Refusal = { refused: string }

const warmUpSamples = 10

/** One runtime to try variants on; started when first needed, and again after a variant crashed it. */
export class TrialRuntime {
  readonly name: RuntimeName
  readonly #options: { liteRtLibrary?: string; version?: string }
  readonly #signal: AbortSignal
  #runtime: TfliteRuntime | undefined
  #version: string
  #trials = 0

  constructor(name: RuntimeName, options: { liteRtLibrary?: string; version?: string }, signal: AbortSignal) {
    this.name = name
    this.#options = options
    this.#signal = signal
    this.#version = options.version ?? 'unknown'
  }

  get version(): string {
    return this.#version
  }

  /**
   * Runs every sample through the file. Whatever the runtime cannot do is a refusal, with its reason; only the signal
   * and faults of ours are thrown. `probes` are run after the samples, and neither timed nor told to `onSample`.
   */
  async run(
    path: string,
    operators: readonly OperatorUse[],
    names: NameMap,
    samples: readonly NamedArray[],
    onSample: (done: number, count: number) => void,
    probes?: readonly NamedArray[]
  ): Promise<Trial | Refusal> {
    const missing = missingOperators(this.name, operators)
    try {
      const runtime = await this.#start()
      if (missing.length > 0) return { refused: describeMissing(this.name, missing, this.#version) }
      const modelId = `trial-${++this.#trials}`
      const loaded = await runtime.load(modelId, path, { threads: 1, signal: this.#signal })
      const session = new ModelSession(runtime, modelId, loaded, names)
      const answers = await runSamples(session, samples, this.#signal, onSample)
      if (probes === undefined) {
        await runtime.unload(modelId)
        return { loaded, ...answers }
      }
      const probed = await this.#probe(session, probes)
      if (!('failed' in probed)) await runtime.unload(modelId)
      return { loaded, ...answers, probes: probed }
    } catch (error) {
      this.#signal.throwIfAborted()
      if (error instanceof RuntimeError) return { refused: error.message }
      throw error
    }
  }

  async #probe(session: ModelSession, probes: readonly NamedArray[]): Promise<NamedArray[] | { failed: string }> {
    try {
      return (await runSamples(session, probes, this.#signal, () => undefined)).outputs
    } catch (error) {
      this.#signal.throwIfAborted()
      // Its process may be gone: it was asked for more than the model can take.
      if (error instanceof RuntimeError) return { failed: error.message }
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#runtime?.close()
    this.#runtime = undefined
  }

  async #start(): Promise<TfliteRuntime> {
    if (this.#runtime !== undefined) return this.#runtime
    const runtime = await startRuntime(this.name, this.#options)
    this.#version = runtime.info.version
    this.#runtime = runtime
    runtime.onExit(() => {
      if (this.#runtime === runtime) this.#runtime = undefined
    })
    return runtime
  }
}

async function runSamples(
  session: ModelSession,
  samples: readonly NamedArray[],
  signal: AbortSignal,
  onSample: (done: number, count: number) => void
): Promise<{ outputs: NamedArray[]; p50Ms: number }> {
  const count = samples[0]?.shape[0] ?? 0
  const collected = new Map<string, NamedArray>()
  const inferenceMs: number[] = []
  for (let index = 0; index < count; index++) {
    const inputs = new Map(samples.map((array) => [array.name, rows(array, index, index + 1)]))
    const { outputs, timings } = await session.run(inputs, { signal })
    for (const [name, output] of outputs) {
      const all = collected.get(name) ?? emptyArray(name, output, count)
      collected.set(name, all)
      // Both are the same kind of array, which TypeScript cannot follow through the union.
      const target = all.data as Float32Array
      target.set(output.data as Float32Array, index * output.data.length)
    }
    inferenceMs.push(timings.inferenceMs)
    onSample(index + 1, count)
  }
  const warm = inferenceMs.slice(Math.min(warmUpSamples, Math.floor(count / 10))).sort((a, b) => a - b)
  return { outputs: [...collected.values()], p50Ms: warm[Math.floor(warm.length / 2)] ?? Number.NaN }
}

/** Room for all samples' answers, which may be most of the memory that there is: they are never there twice. */
function emptyArray(name: string, { dtype, shape, data }: SessionOutput, count: number): NamedArray {
  const known: ArrayDtype = isArrayDtype(dtype) ? dtype : 'float32'
  const construct = data.constructor as new (length: number) => ArrayData
  // The batch of 1 that every variant has becomes the number of samples.
  const [batch, ...rest] = shape
  return {
    name,
    dtype: known,
    shape: [count, ...(batch === 1 ? rest : shape)],
    data: new construct(count * data.length)
  }
}
