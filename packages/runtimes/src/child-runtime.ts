import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { ChildCalls } from './child-calls.ts'
import { type ModelPlan, type ModelSource, planModel, type TensorPlan } from './model-plan.ts'
import type {
  InvokeOptions,
  InvokeResult,
  LoadedModel,
  LoadOptions,
  RuntimeExit,
  RuntimeInfo,
  TfliteRuntime
} from './runtime.ts'
import { RuntimeError } from './runtime-error.ts'
import type { SharedTensors } from './shared-tensors.ts'

/** A runtime in a process of its own, seen from the process that started it. */
export class ChildRuntime implements TfliteRuntime {
  readonly info: RuntimeInfo
  readonly pid: number
  readonly #calls: ChildCalls
  readonly #threads: number
  readonly #shared: SharedTensors | undefined
  readonly #plans = new Map<string, ModelPlan>()
  readonly #loading = new Set<string>()

  /** Resolves once the runtime in the process is ready. */
  static async start(
    process: ChildProcess & { pid: number },
    info: RuntimeInfo,
    options: { threads: number; shared: SharedTensors | undefined; onStderr: (line: string) => void }
  ): Promise<ChildRuntime> {
    const calls = new ChildCalls(process, options.shared, options.onStderr)
    const { reply } = await calls.ready.catch((cause: unknown) => {
      const detail = cause instanceof RuntimeError ? cause : undefined
      const message = `${info.name} could not be started. ${detail?.message ?? ''}`
      throw new RuntimeError('runtime-unavailable', message, { ...detail, cause })
    })
    const version = reply.version === undefined || reply.version === '' ? info.version : reply.version
    return new ChildRuntime(calls, process.pid, { name: info.name, version }, options)
  }

  private constructor(
    calls: ChildCalls,
    pid: number,
    info: RuntimeInfo,
    options: { threads: number; shared: SharedTensors | undefined }
  ) {
    this.#calls = calls
    this.pid = pid
    this.info = info
    this.#threads = options.threads
    this.#shared = options.shared
  }

  async load(modelId: string, source: ModelSource, options: LoadOptions = {}): Promise<LoadedModel> {
    const { plan, inputs, outputs } = await planModel(source)
    if (this.#plans.has(modelId) || this.#loading.has(modelId)) {
      throw new RuntimeError('model-already-loaded', `Model ${modelId} is loaded already.`)
    }
    this.#loading.add(modelId)
    try {
      const threads = options.threads ?? this.#threads
      for (const tensors of [plan.inputs, plan.outputs]) this.#shared?.reserve(tensors.map((tensor) => tensor.bytes))
      const given = typeof source === 'string' ? { path: source } : {}
      const parts = typeof source === 'string' ? [] : [source]
      const { reply } = await this.#calls.call({ op: 'load', modelId, plan, threads, ...given }, parts, options)
      this.#plans.set(modelId, plan)
      return { signature: plan.signature, inputs, outputs, loadMs: reply.loadMs ?? 0 }
    } catch (error) {
      throw this.#named(error)
    } finally {
      this.#loading.delete(modelId)
    }
  }

  async unload(modelId: string): Promise<void> {
    this.#planOf(modelId)
    this.#plans.delete(modelId)
    await this.#calls.call({ op: 'unload', modelId }, [], {})
  }

  async invoke(
    modelId: string,
    inputs: ReadonlyMap<string, Uint8Array>,
    options: InvokeOptions = {}
  ): Promise<InvokeResult> {
    const plan = this.#planOf(modelId)
    const answer = await this.#calls
      .call({ op: 'invoke', modelId, capacity: this.#shared?.capacity ?? 0 }, orderInputs(plan.inputs, inputs), options)
      .catch((error: unknown) => {
        throw this.#named(error)
      })
    const outputs = new Map(plan.outputs.map(({ name }, index) => [name, answer.parts[index] ?? new Uint8Array(0)]))
    return { outputs, inferenceMs: answer.reply.inferenceMs ?? 0 }
  }

  async stats(): Promise<{ rssBytes: number }> {
    // Linux tells it without waiting behind an inference; elsewhere the process is asked.
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8').catch(() => '')
    const rssKib = /^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]
    if (rssKib !== undefined) return { rssBytes: Number(rssKib) * 1024 }
    const { reply } = await this.#calls.call({ op: 'stats' }, [], {})
    return { rssBytes: reply.rssBytes ?? 0 }
  }

  close(): Promise<void> {
    return this.#calls.close()
  }

  onExit(listener: (reason: RuntimeExit) => void): void {
    this.#calls.onExit(listener)
  }

  #planOf(modelId: string): ModelPlan {
    const plan = this.#plans.get(modelId)
    if (plan === undefined) throw new RuntimeError('model-not-loaded', `No model ${modelId} is loaded.`)
    return plan
  }

  /** Says which runtime spoke. */
  #named(error: unknown): unknown {
    if (!(error instanceof RuntimeError)) return error
    return new RuntimeError(error.code, `${this.info.name} ${this.info.version}: ${error.message}`, {
      ...error,
      cause: error
    })
  }
}

function orderInputs(plans: TensorPlan[], inputs: ReadonlyMap<string, Uint8Array>): Uint8Array[] {
  for (const name of inputs.keys()) {
    if (!plans.some((plan) => plan.name === name)) {
      const known = plans.map((plan) => plan.name).join(', ')
      throw new RuntimeError('input-invalid', `The model has no input ${name}; its inputs are ${known}.`)
    }
  }
  return plans.map(({ name, bytes, dtype, shape }) => {
    const input = inputs.get(name)
    if (input === undefined) throw new RuntimeError('input-invalid', `Input ${name} is missing.`)
    if (input.byteLength !== bytes) {
      const expected = `${bytes} bytes of ${dtype} [${shape.join(', ')}]`
      throw new RuntimeError('input-invalid', `Input ${name} has ${input.byteLength} bytes; it takes ${expected}.`)
    }
    return input
  })
}
