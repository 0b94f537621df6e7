import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { ChildCalls } from './child-calls.ts'
import {
  type InputShapes,
  type ModelSource,
  type PlannedModel,
  planModel,
  reshaped,
  type SignatureBorders,
  type SignaturePlan,
  type TensorPlan
} from './model-plan.ts'
import type {
  CallOptions,
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

type PlacedSignature = { plan: SignaturePlan; borders: SignatureBorders; index: number }

type PlacedModel = {
  /** As it was given, for loading it again in other shapes. */
  source: ModelSource
  threads: number
  defaultKey: string
  signatures: Map<string, PlacedSignature>
  refused: Map<string, string>
}

/** A runtime in a process of its own, seen from the process that started it. */
export class ChildRuntime implements TfliteRuntime {
  readonly info: RuntimeInfo
  readonly pid: number
  readonly #calls: ChildCalls
  readonly #threads: number
  readonly #shared: SharedTensors | undefined
  readonly #models = new Map<string, PlacedModel>()
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
    const { accelerators } = reply
    const found = accelerators === undefined ? {} : { accelerators }
    return new ChildRuntime(calls, process.pid, { name: info.name, version, ...found }, options)
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
    if (this.#models.has(modelId) || this.#loading.has(modelId)) {
      throw new RuntimeError('model-already-loaded', `Model ${modelId} is loaded already.`)
    }
    this.#loading.add(modelId)
    try {
      return await this.#place(modelId, source, options.threads ?? this.#threads, options.shapes, options)
    } finally {
      this.#loading.delete(modelId)
    }
  }

  resize(modelId: string, shapes: InputShapes, options: CallOptions = {}): Promise<LoadedModel> {
    const { source, threads } = this.#modelOf(modelId)
    return this.#place(modelId, source, threads, shapes, options)
  }

  /** Loads the model, in place of what has its id. */
  async #place(
    modelId: string,
    source: ModelSource,
    threads: number,
    shapes: InputShapes | undefined,
    options: LoadOptions
  ): Promise<LoadedModel> {
    const planned = await planModel(source, shapes)
    const { plan } = planned
    for (const signature of plan.signatures) this.#reserve(signature)
    const { weightCache } = options
    const kept = weightCache === undefined || plan.resized ? {} : { weightCache }
    const given = typeof planned.source === 'string' ? { path: planned.source } : {}
    const parts = typeof planned.source === 'string' ? [] : [planned.source]
    const body = { op: 'load' as const, modelId, plan, threads, ...given, ...kept }
    const { reply } = await this.#calls.call(body, parts, options).catch((error: unknown) => {
      throw this.#named(error)
    })
    const model = placedModel(source, threads, planned, reply.signatures ?? [])
    for (const signature of model.signatures.values()) this.#reserve(signature.plan)
    this.#models.set(modelId, model)
    const signatures = Object.fromEntries([...model.signatures].map(([key, { borders }]) => [key, borders]))
    const borders = signatures[plan.signatures[0].key] ?? { inputs: [], outputs: [] }
    return { signature: plan.signatures[0].key, ...borders, signatures, loadMs: reply.loadMs ?? 0 }
  }

  #reserve({ inputs, outputs }: SignaturePlan): void {
    for (const tensors of [inputs, outputs]) this.#shared?.reserve(tensors.map((tensor) => tensor.bytes))
  }

  async unload(modelId: string): Promise<void> {
    this.#modelOf(modelId)
    this.#models.delete(modelId)
    await this.#calls.call({ op: 'unload', modelId }, [], {})
  }

  async invoke(
    modelId: string,
    inputs: ReadonlyMap<string, Uint8Array>,
    options: InvokeOptions = {}
  ): Promise<InvokeResult> {
    const { plan, index } = signatureOf(this.#modelOf(modelId), options.signature)
    const body = { op: 'invoke' as const, modelId, signature: index, capacity: this.#shared?.capacity ?? 0 }
    const answer = await this.#calls.call(body, orderInputs(plan.inputs, inputs), options).catch((error: unknown) => {
      throw this.#named(error)
    })
    const outputs = new Map(plan.outputs.map(({ name }, index) => [name, answer.parts[index] ?? new Uint8Array(0)]))
    return { outputs, inferenceMs: answer.reply.inferenceMs ?? 0 }
  }

  async stats(): Promise<{ rssBytes: number; peakRssBytes: number }> {
    // Linux tells it without waiting behind an inference; elsewhere the process is asked.
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8').catch(() => '')
    const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? Number.NaN)
    const [rssBytes, peakRssBytes] = [kib('VmRSS') * 1024, kib('VmHWM') * 1024]
    if (!Number.isNaN(rssBytes + peakRssBytes)) return { rssBytes, peakRssBytes }
    const { reply } = await this.#calls.call({ op: 'stats' }, [], {})
    return { rssBytes: reply.rssBytes ?? 0, peakRssBytes: reply.peakRssBytes ?? 0 }
  }

  close(): Promise<void> {
    return this.#calls.close()
  }

  onExit(listener: (reason: RuntimeExit) => void): void {
    this.#calls.onExit(listener)
  }

  #modelOf(modelId: string): PlacedModel {
    const model = this.#models.get(modelId)
    if (model === undefined) throw new RuntimeError('model-not-loaded', `No model ${modelId} is loaded.`)
    return model
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

function placedModel(
  source: ModelSource,
  threads: number,
  { plan, borders, refused }: PlannedModel,
  replies: ({ outputs: number[][] } | { refused: string })[]
): PlacedModel {
  const model: PlacedModel = {
    source,
    threads,
    defaultKey: plan.signatures[0].key,
    signatures: new Map(),
    refused: new Map(refused)
  }
  for (const [index, signature] of plan.signatures.entries()) {
    const reply = replies[index]
    if (reply !== undefined && 'refused' in reply) {
      model.refused.set(signature.key, reply.refused)
      continue
    }
    const shapeOf = (at: number, planned: number[]) => reply?.outputs[at] ?? planned
    const outputs = signature.outputs.map((each, at) => reshaped(each, shapeOf(at, each.shape)) ?? each)
    const { inputs, outputs: specs = [] } = borders[index] ?? { inputs: [] }
    const seen = specs.map((spec, at) => ({ ...spec, shape: shapeOf(at, spec.shape) }))
    model.signatures.set(signature.key, { plan: { ...signature, outputs }, borders: { inputs, outputs: seen }, index })
  }
  return model
}

function signatureOf(model: PlacedModel, key: string = model.defaultKey): PlacedSignature {
  const signature = model.signatures.get(key)
  if (signature !== undefined) return signature
  const reason = model.refused.get(key)
  if (reason !== undefined) throw new RuntimeError('model-refused', `Signature ${key} does not run here: ${reason}`)
  const known = [...model.signatures.keys()].join(', ')
  throw new RuntimeError('input-invalid', `The model has no signature ${key}; its signatures are ${known}.`)
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
