/*
 * The child's side: one blocking loop. It reads tensors straight into the runtime's memory and writes them from there.
 * After some milliseconds of kernels nothing of this process is in the processor's caches any more, so that an inference
 * costs by how much code and memory it comes past, not by how often: few calls, no allocation, nothing to parse.
 */
import { readSync, writeSync, writevSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { TfliteDtype } from '@skerry/tflite'
import { channelFd, encodeHeader, Head, headBytes, type Reply, type Request, readyId, stderrMarker } from './frame.ts'
import type { ModelPlan, ModelSource, SignaturePlan, TensorPlan } from './model-plan.ts'
import type { RuntimeErrorCode } from './runtime-error.ts'
import { selfTest } from './self-test.ts'
import { leastSharedBytes, worthSharing } from './shared-tensors.ts'
import type { WeightCache } from './weight-cache.ts'

/** One signature of a model inside a runtime. Memory is lent: valid until the next call. */
export interface BoundSignature {
  /** What the outputs are, in the plan's order; other than planned only for a resized model. */
  readonly outputs: readonly TensorPlan[]
  /** Whether the memory of its tensors is shared with the parent, at the places that `placeTensors` gives. */
  readonly shared?: boolean
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
  /** How many inferences may pass before the event loop takes a turn, on which what an inference leaves is cleared away. */
  readonly inferencesPerTurn: number
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
  const models = new Map<number, ServedModel>()
  const channel = new Channel()
  await selfTest(backend)
  const accelerators = backend.accelerators === undefined ? {} : { accelerators: backend.accelerators }
  channel.write({ id: readyId, parts: [], ok: true, version: backend.version, ...accelerators })
  for (let inferences = 0; ; ) {
    const { head } = channel
    channel.readHead()
    const { id, headerLength } = head
    try {
      if (headerLength === 0) {
        infer(channel, loaded(models, head.model).signatures[head.signature])
        inferences += 1
      } else {
        const request = channel.readHeader(headerLength)
        channel.write(await answer(request, models, backend, channel))
        inferences = backend.inferencesPerTurn
      }
    } catch (error) {
      if (!(error instanceof BackendError)) throw error
      writeSync(2, `\n${stderrMarker(id)}\n`)
      channel.write({ id, parts: [], ok: false, code: error.code, message: error.message })
    }
    if (inferences < backend.inferencesPerTurn) continue
    // Blocking calls alone would never end the event loop's turn, and what waits for its end would pile up: models that
    // were unloaded too. Not before each answer, though: the parent would wait for it.
    await setImmediate()
    inferences = 0
  }
}

type ServedSignature = {
  signature: BoundSignature
  /** Tensors that the channel carries; the others stand in shared memory. */
  inputs: readonly Uint8Array[]
  carriesOutputs: boolean
}

type ServedModel = { model: BackendModel; signatures: (ServedSignature | undefined)[] }

function serve(model: BackendModel): ServedModel {
  const signatures = model.signatures.map((signature) => {
    if (typeof signature === 'string') return undefined
    const shares = (lengths: number[]): boolean => signature.shared === true && worthSharing(lengths)
    const inputs = signature.inputs()
    return {
      signature,
      inputs: shares(inputs.map((input) => input.length)) ? [] : inputs,
      carriesOutputs: !shares(signature.outputs.map((output) => output.bytes))
    }
  })
  return { model, signatures }
}

function infer(channel: Channel, served: ServedSignature | undefined): void {
  // The parent knows which signatures there are.
  if (served === undefined) throw new Error('no such signature')
  for (const input of served.inputs) channel.readInto(input)
  const { inferenceMs, outputs } = served.signature.run()
  channel.writeAnswer(inferenceMs, served.carriesOutputs ? outputs : [])
}

async function answer(
  request: Request,
  models: Map<number, ServedModel>,
  backend: Backend,
  channel: Channel
): Promise<Reply> {
  const done: { id: number; parts: number[]; ok: true } = { id: request.id, parts: [], ok: true }
  switch (request.op) {
    case 'load': {
      const started = performance.now()
      const source = request.path ?? channel.readPart(request.parts[0] ?? 0)
      const model = await backend.load(request.plan, source, request.threads, request.weightCache)
      const loadMs = performance.now() - started
      // A resized model takes the place of what it was.
      models.get(request.model)?.model.unload()
      models.set(request.model, serve(model))
      const signatures = model.signatures.map((each) =>
        typeof each === 'string'
          ? { refused: each }
          : { outputs: each.outputs.map((output) => output.shape), shared: each.shared === true }
      )
      return { ...done, loadMs, signatures }
    }
    case 'unload':
      loaded(models, request.model).model.unload()
      models.delete(request.model)
      return done
    case 'stats':
      return { ...done, rssBytes: process.memoryUsage.rss(), peakRssBytes: process.resourceUsage().maxRSS * 1024 }
  }
}

function loaded(models: Map<number, ServedModel>, number: number): ServedModel {
  const model = models.get(number)
  if (model === undefined) throw new Error(`model ${number} is not loaded`)
  return model
}

/** The socket to the parent, by calls that wait. */
class Channel {
  /** A frame that is written by one plain call: a head, and after it what is small. */
  readonly #frame = Buffer.from(new ArrayBuffer(headBytes + leastSharedBytes))
  /** Of the request in hand; of its answer, once that is written. */
  readonly head = new Head(this.#frame.buffer)

  readHead(): void {
    this.readInto(this.head.bytes)
  }

  readHeader(length: number): Request {
    return JSON.parse(this.readPart(length).toString()) as Request
  }

  readPart(length: number): Buffer {
    const bytes = Buffer.allocUnsafeSlow(length)
    this.readInto(bytes)
    return bytes
  }

  readInto(target: Uint8Array): void {
    for (let filled = 0; filled < target.length; ) {
      const count = readSync(channelFd, target, filled, target.length - filled, null)
      if (count === 0) exitWithoutDestructors(0)
      filled += count
    }
  }

  write(reply: Reply): void {
    this.#write([encodeHeader(reply)])
  }

  /** The answer to the inference that the head asked for. */
  writeAnswer(inferenceMs: number, outputs: readonly Uint8Array[]): void {
    this.head.setAnswer(this.head.id, inferenceMs)
    let end = headBytes
    for (const output of outputs) end += output.length
    if (end > this.#frame.length) {
      this.#write([this.head.bytes, ...outputs])
      return
    }
    let at = headBytes
    for (const output of outputs) {
      this.#frame.set(output, at)
      at += output.length
    }
    const written = writeSync(channelFd, this.#frame, 0, end)
    if (written < end) this.#write([this.#frame.subarray(written, end)])
  }

  #write(buffers: Uint8Array[]): void {
    // At once, so that the parent wakes up once.
    let written = writevSync(channelFd, buffers)
    for (const bytes of buffers) {
      while (written < bytes.length) written += writeSync(channelFd, bytes, written, bytes.length - written)
      written -= bytes.length
    }
  }
}

/** `process.exit` runs native libraries' destructors, and LiteRT's crash when its objects are still alive. */
export function exitWithoutDestructors(code: number): never {
  return (process as unknown as { reallyExit(code: number): never }).reallyExit(code)
}
