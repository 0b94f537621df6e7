/* The child's side: one blocking loop. It reads tensors straight into the runtime's memory and writes them from there. */
import { readSync, writeSync, writevSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { TfliteDtype } from '@skerry/tflite'
import { channelFd, encodeHeader, maxHeaderBytes, type Reply, type Request, readyId, stderrMarker } from './frame.ts'
import type { ModelPlan, ModelSource, SignaturePlan, TensorPlan } from './model-plan.ts'
import type { RuntimeErrorCode } from './runtime-error.ts'
import { selfTest } from './self-test.ts'
import { sharedFd, sharedLayout, worthSharing } from './shared-tensors.ts'
import type { WeightCache } from './weight-cache.ts'

/** One signature of a model inside a runtime. Memory is lent: valid until the next call. */
export interface BoundSignature {
  /** What the outputs are, in the plan's order; other than planned only for a resized model. */
  readonly outputs: readonly TensorPlan[]
  /** Memory that takes the inputs' bytes, in the plan's order. */
  inputs(): Uint8Array[]
  /** Runs the model on what was written there; returns milliseconds and the outputs' bytes in the plan's order. */
  run(): { inferenceMs: number; outputs: Uint8Array[] }
}

export interface BackendModel {
  /** In the plan's order; the reason where the runtime does not run one that is not the default. */
  readonly signatures: readonly (BoundSignature | string)[]
  unload(): void
}

/** Binds each signature; only what is wrong with the default one is thrown. */
export function bindSignatures(
  { signatures }: ModelPlan,
  bind: (signature: SignaturePlan) => BoundSignature
): (BoundSignature | string)[] {
  return signatures.map((signature, index) => {
    try {
      return bind(signature)
    } catch (error) {
      if (index === 0 || !(error instanceof BackendError)) throw error
      return error.message
    }
  })
}

export interface Backend {
  /** Empty when the runtime does not tell. */
  readonly version: string
  /** What the runtime can run models on, where it tells. Here all run on the CPU. */
  readonly accelerators?: readonly string[]
  /** Bytes given stay as they are, for the backend to keep. */
  load(plan: ModelPlan, source: ModelSource, threads: number, weightCache?: WeightCache): Promise<BackendModel>
  /** Element types that it carries, whose answers are checked at start. */
  readonly dtypes: readonly TfliteDtype[]
  /** Maps the first bytes of a file; absent where the runtime shares no memory with the parent. */
  map?(fd: number, bytes: number): Uint8Array
}

/** An error that leaves the runtime usable. Any other error ends the process. */
export class BackendError extends Error {
  override readonly name = 'BackendError'
  readonly code: RuntimeErrorCode

  constructor(code: RuntimeErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/**
 * Serves requests until the parent closes the channel. Never returns.
 *
 * @throws Error when the runtime answers a model of our own wrongly.
 */
export async function serveBackend(backend: Backend): Promise<never> {
  const models = new Map<string, BackendModel>()
  await selfTest(backend)
  const accelerators = backend.accelerators === undefined ? {} : { accelerators: backend.accelerators }
  writeFrame({ id: readyId, parts: [], ok: true, version: backend.version, ...accelerators }, [])
  for (;;) {
    // Blocking calls alone would never end the event loop's turn, and what waits for its end would pile up: models that
    // were unloaded too, so that each call has a turn of its own.
    await setImmediate()
    const request = readHeader()
    try {
      const { reply, parts } = await answer(request, models, backend)
      writeFrame(reply, parts)
    } catch (error) {
      if (!(error instanceof BackendError)) throw error
      writeSync(2, `\n${stderrMarker(request.id)}\n`)
      writeFrame({ id: request.id, parts: [], ok: false, code: error.code, message: error.message }, [])
    }
  }
}

async function answer(
  request: Request,
  models: Map<string, BackendModel>,
  backend: Backend
): Promise<{ reply: Reply; parts: Uint8Array[] }> {
  const done: { id: number; parts: number[]; ok: true } = { id: request.id, parts: [], ok: true }
  switch (request.op) {
    case 'load': {
      const started = performance.now()
      const source = request.path ?? readPart(request.parts[0] ?? 0)
      const model = await backend.load(request.plan, source, request.threads, request.weightCache)
      const loadMs = performance.now() - started
      // A resized model takes the place of what it was.
      models.get(request.modelId)?.unload()
      models.set(request.modelId, model)
      const signatures = model.signatures.map((each) =>
        typeof each === 'string' ? { refused: each } : { outputs: each.outputs.map((output) => output.shape) }
      )
      return { reply: { ...done, loadMs, signatures }, parts: [] }
    }
    case 'unload':
      loaded(models, request.modelId).unload()
      models.delete(request.modelId)
      return { reply: done, parts: [] }
    case 'stats':
      return {
        reply: { ...done, rssBytes: process.memoryUsage.rss(), peakRssBytes: process.resourceUsage().maxRSS * 1024 },
        parts: []
      }
    case 'invoke': {
      const model = loaded(models, request.modelId).signatures[request.signature]
      // The parent knows which signatures there are.
      if (model === undefined || typeof model === 'string') throw new Error('no such signature')
      const inputs = model.inputs()
      // The parent checked names and sizes; a mismatch here would leave the channel out of step.
      if (inputs.some((input, index) => input.length !== request.parts[index])) throw new Error('input sizes differ')
      if (request.shared === true) takeShared(backend, inputs)
      else for (const input of inputs) readInto(input)
      const { inferenceMs, outputs } = model.run()
      const reply = { ...done, parts: outputs.map((output) => output.length), inferenceMs }
      if (!worthSharing(reply.parts, request.capacity)) return { reply, parts: outputs }
      giveShared(backend, outputs)
      return { reply: { ...reply, shared: true }, parts: [] }
    }
  }
}

function takeShared(backend: Backend, inputs: Uint8Array[]): void {
  const places = sharedPlaces(backend, inputs)
  for (const [index, input] of inputs.entries()) input.set(places[index] ?? [])
}

function giveShared(backend: Backend, outputs: Uint8Array[]): void {
  const places = sharedPlaces(backend, outputs)
  for (const [index, output] of outputs.entries()) places[index]?.set(output)
}

function sharedPlaces(backend: Backend, tensors: Uint8Array[]): Uint8Array[] {
  const { offsets, bytes } = sharedLayout(tensors.map((tensor) => tensor.length))
  const mapped = backend.map?.(sharedFd, bytes)
  if (mapped === undefined) throw new Error('this runtime shares no memory')
  return tensors.map((tensor, index) => {
    const offset = offsets[index] ?? 0
    return mapped.subarray(offset, offset + tensor.length)
  })
}

function loaded(models: Map<string, BackendModel>, modelId: string): BackendModel {
  const model = models.get(modelId)
  if (model === undefined) throw new Error(`model ${modelId} is not loaded`)
  return model
}

function readHeader(): Request {
  const prefix = Buffer.alloc(4)
  readInto(prefix)
  const length = prefix.readUInt32LE(0)
  if (length > maxHeaderBytes) throw new Error(`a header of ${length} bytes`)
  const json = Buffer.alloc(length)
  readInto(json)
  return JSON.parse(json.toString()) as Request
}

function readPart(length: number): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(length)
  readInto(bytes)
  return bytes
}

function readInto(target: Uint8Array): void {
  let filled = 0
  while (filled < target.length) {
    const count = readSync(channelFd, target, filled, target.length - filled, null)
    if (count === 0) exitWithoutDestructors(0)
    filled += count
  }
}

function writeFrame(reply: Reply, parts: Uint8Array[]): void {
  const buffers = [encodeHeader(reply), ...parts]
  // At once, so that the parent wakes up once.
  let written = writevSync(channelFd, buffers)
  for (const bytes of buffers) {
    while (written < bytes.length) written += writeSync(channelFd, bytes, written, bytes.length - written)
    written -= bytes.length
  }
}

/** `process.exit` runs native libraries' destructors, and LiteRT's crash when its objects are still alive. */
export function exitWithoutDestructors(code: number): never {
  return (process as unknown as { reallyExit(code: number): never }).reallyExit(code)
}
