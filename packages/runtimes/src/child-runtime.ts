import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { ChildCalls, type Crossing } from './child-calls.ts'
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
import { placeTensors, type SharedTensors, worthSharing } from './shared-tensors.ts'

type PlacedSignature = {
  plan: SignaturePlan
  borders: SignatureBorders
  index: number
  inputOffsets: Crossing['offsets']
  outputs: Crossing
}

type PlacedModel = {
  /** What the process calls it. */
  number: number
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
  readonly #models = new Map<string, PlacedModel>()
  readonly #loading = new Set<string>()
  #nextNumber = 0

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

  private constructor(calls: ChildCalls, pid: number, info: RuntimeInfo, options: { threads: number }) {
    this.#calls = calls
    this.pid = pid
    this.info = info
    this.#threads = options.threads
  }

  async load(modelId: string, source: ModelSource, options: LoadOptions = {}): Promise<LoadedModel> {
    if (this.#models.has(modelId) || this.#loading.has(modelId)) {
      throw new RuntimeError('model-already-loaded', `Model ${modelId} is loaded already.`)
    }
    this.#loading.add(modelId)
    try {
      const place = { modelId, number: this.#nextNumber++, source, threads: options.threads ?? this.#threads }
      return await this.#place(place, options.shapes, options)
    } finally {
      this.#loading.delete(modelId)
    }
  }

  resize(modelId: string, shapes: InputShapes, options: CallOptions = {}): Promise<LoadedModel> {
    const { number, source, threads } = this.#modelOf(modelId)
    return this.#place({ modelId, number, source, threads }, shapes, options)
  }

  /** Loads the model, in place of what has its id. */
  async #place(
    { modelId, number, source, threads }: { modelId: string; number: number; source: ModelSource; threads: number },
    shapes: InputShapes | undefined,
    options: LoadOptions
  ): Promise<LoadedModel> {
    const planned = await planModel(source, shapes)
    const { plan } = planned
    const { weightCache } = options
    const kept = weightCache === undefined || plan.resized ? {} : { weightCache }
    const given = typeof planned.source === 'string' ? { path: planned.source } : {}
    const parts = typeof planned.source === 'string' ? [] : [planned.source]
    const body = { op: 'load' as const, model: number, plan, threads, ...given, ...kept }
    const { reply } = await this.#calls.call(body, parts, options).catch((error: unknown) => {
      throw this.#named(error)
    })
    const model = placedModel({ number, source, threads }, planned, reply.signatures ?? [])
    this.#models.set(modelId, model)
    const signatures = Object.fromEntries([...model.signatures].map(([key, { borders }]) => [key, borders]))
    const borders = signatures[plan.signatures[0].key] ?? { inputs: [], outputs: [] }
    return { signature: plan.signatures[0].key, ...borders, signatures, loadMs: reply.loadMs ?? 0 }
  }

  async unload(modelId: string): Promise<void> {
    const { number } = this.#modelOf(modelId)
    this.#models.delete(modelId)
    await this.#calls.call({ op: 'unload', model: number }, [], {})
  }

  async invoke(
    modelId: string,
    inputs: ReadonlyMap<string, Uint8Array>,
    options: InvokeOptions = {}
  ): Promise<InvokeResult> {
    const model = this.#modelOf(modelId)
    const { plan, index, inputOffsets, outputs } = signatureOf(model, options.signature)
    const inference = {
      model: model.number,
      signature: index,
      inputs: orderInputs(plan.inputs, inputs),
      inputOffsets,
      outputs
    }
    try {
      const { reply, parts } = await this.#calls.infer(inference, options)
      const named = plan.outputs.map(({ name }, at): [string, Uint8Array] => [name, parts[at] ?? new Uint8Array(0)])
      return { outputs: new Map(named), inferenceMs: reply.inferenceMs ?? 0 }
    } catch (error) {
      throw this.#named(error)
    }
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
  place: Pick<PlacedModel, 'number' | 'source' | 'threads'>,
  { plan, borders, refused }: PlannedModel,
  replies: ({ outputs: number[][]; shared: boolean } | { refused: string })[]
): PlacedModel {
  const model: PlacedModel = {
    ...place,
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
    model.signatures.set(signature.key, {
      plan: { ...signature, outputs },
      borders: { inputs, outputs: seen },
      index,
      ...crossings(signature.inputs, outputs, reply?.shared === true)
    })
  }
  return model
}

function crossings(
  inputs: TensorPlan[],
  outputs: TensorPlan[],
  shared: boolean
): Pick<PlacedSignature, 'inputOffsets' | 'outputs'> {
  const [given, taken] = [inputs.map((tensor) => tensor.bytes), outputs.map((tensor) => tensor.bytes)]
  const places = placeTensors(given, taken)
  return {
    inputOffsets: shared && worthSharing(given) ? places.inputs : null,
    outputs: { lengths: taken, offsets: shared && worthSharing(taken) ? places.outputs : null }
  }
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
