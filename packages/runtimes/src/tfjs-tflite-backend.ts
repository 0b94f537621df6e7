import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import type { Tensor } from '@tensorflow/tfjs-core'
import type { TFLiteModel } from '@tensorflow/tfjs-tflite'
import { type ModelPlan, reshaped, type SignaturePlan, type TensorPlan } from './model-plan.ts'
import { type Backend, BackendError, type BackendModel, type BoundSignature, bindSignatures } from './serve-backend.ts'
import { repairRunner, runnerOf } from './tfjs-tflite-runner.ts'

const require = createRequire(import.meta.url)

type Core = typeof import('@tensorflow/tfjs-core')
type Tflite = typeof import('@tensorflow/tfjs-tflite')
type ModuleFactory = (options: Record<string, unknown>) => Promise<unknown>
type StoredArray = Float32Array | Int32Array | Uint32Array | Int16Array | Int8Array | Uint8Array

// The types that TFLiteModel hands through without loss; float64, for one, would silently become float32.
const arrays = {
  float32: Float32Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array
} as const

type CarriedDtype = keyof typeof arrays

/** @tensorflow/tfjs-tflite's SIMD WebAssembly build, single-threaded, through the package's own TFLiteModel. */
export function createTfjsTfliteBackend(): Backend {
  const manifest = require.resolve('@tensorflow/tfjs-tflite/package.json')
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  const { core, tflite } = openPackage(path.join(path.dirname(manifest), 'wasm'))
  return {
    version,
    dtypes: ['float32', 'int8', 'uint8', 'int16', 'int32', 'bool'],
    inferencesPerTurn: 1,
    load: async (plan, source) => {
      const file = typeof source === 'string' ? readFileSync(source) : source
      const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer
      checkSignature(plan.signatures[0])
      const model = await tflite.loadTFLiteModel(bytes, { numThreads: 1 }).catch((error: unknown) => {
        throw refusal(error)
      })
      return new TfjsTfliteModel(core, model, plan)
    }
  }
}

/**
 * The package is written for browsers. It takes this process for a web worker: there is no `window`, `importScripts`
 * does nothing, and the factory that a worker's script would define is the SIMD build with its binary in hand.
 */
function openPackage(wasmFolder: string): { core: Core; tflite: Tflite } {
  const factory = require(path.join(wasmFolder, 'tflite_web_api_cc_simd.js')) as ModuleFactory
  const wasmBinary = readFileSync(path.join(wasmFolder, 'tflite_web_api_cc_simd.wasm'))
  Object.assign(globalThis, {
    self: globalThis,
    location: { origin: 'http://localhost', href: 'http://localhost/' },
    importScripts: () => undefined,
    tflite_web_api_ModuleFactory: (options: Record<string, unknown>) => factory({ ...options, wasmBinary })
  })
  const warn = console.warn
  console.warn = (...words: unknown[]) => {
    // TFLiteModel says on every inference that it stores int32 as int8: that is its way to carry int8.
    if (!String(words[0]).startsWith('WARNING: converting')) warn(...words)
  }
  const core = require('@tensorflow/tfjs-core') as Core
  // Else the backend advertises another package on stderr.
  core.enableProdMode()
  require('@tensorflow/tfjs-backend-cpu')
  return { core, tflite: require('@tensorflow/tfjs-tflite') as Tflite }
}

class TfjsTfliteModel implements BackendModel {
  readonly signatures: (BoundSignature | string)[]
  readonly #model: TFLiteModel

  constructor(core: Core, model: TFLiteModel, plan: ModelPlan) {
    this.#model = model
    const release = repairRunner(runnerOf(model))
    this.signatures = bindSignatures(plan, (signature) => {
      checkSignature(signature)
      checkShapes(model, signature)
      release()
      const outputs = plan.resized ? outputsInUse(model, signature.outputs) : signature.outputs
      release()
      return new TfjsTfliteSignature(core, model, { ...signature, outputs }, release)
    })
  }

  unload(): void {
    // TFLiteModel has no way to release its memory; the runner inside it has.
    runnerOf(this.#model).cleanUp()
  }
}

class TfjsTfliteSignature implements BoundSignature {
  readonly outputs: readonly TensorPlan[]
  readonly #core: Core
  readonly #model: TFLiteModel
  readonly #inputs: { plan: TensorPlan; stored: StoredArray; bytes: Uint8Array }[]
  readonly #release: () => void

  constructor(core: Core, model: TFLiteModel, plan: SignaturePlan, release: () => void) {
    this.#core = core
    this.#model = model
    this.#inputs = plan.inputs.map((tensor) => {
      const bytes = new Uint8Array(tensor.bytes)
      return { plan: tensor, stored: new arrays[tensor.dtype as CarriedDtype](bytes.buffer), bytes }
    })
    this.outputs = plan.outputs
    this.#release = release
  }

  inputs(): Uint8Array[] {
    return this.#inputs.map((input) => input.bytes)
  }

  run(): { inferenceMs: number; outputs: Uint8Array[] } {
    const started = performance.now()
    const tensors: Tensor[] = []
    for (const { plan, stored } of this.#inputs) {
      tensors[plan.position] =
        stored instanceof Float32Array
          ? this.#core.tensor(stored, plan.shape, 'float32')
          : this.#core.tensor(stored instanceof Int32Array ? stored : Int32Array.from(stored), plan.shape, 'int32')
    }
    const result = this.#predict(tensors)
    const outputs = this.outputs.map((output) => {
      const tensor = result instanceof this.#core.Tensor ? result : result[output.tensorName]
      if (tensor === undefined) throw new BackendError('inference-failed', `The runtime gave no ${output.name}.`)
      const values = tensor.dataSync<'float32' | 'int32'>()
      const array = arrays[output.dtype as CarriedDtype]
      const stored = values instanceof array ? values : array.from(values)
      if (stored.byteLength !== output.bytes) {
        const sizes = `${stored.byteLength} bytes for ${output.name} instead of ${output.bytes}`
        throw new BackendError('inference-failed', `The runtime gave ${sizes}.`)
      }
      return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength)
    })
    const inferenceMs = performance.now() - started
    this.#core.dispose([...tensors, ...(result instanceof this.#core.Tensor ? [result] : Object.values(result))])
    return { inferenceMs, outputs }
  }

  #predict(inputs: Tensor[]): Tensor | Record<string, Tensor> {
    try {
      return this.#model.predict(inputs) as Tensor | Record<string, Tensor>
    } catch (error) {
      // After a trap or an abort the module's memory is in an unknown state: the process must end.
      if (isTrap(error)) throw error
      throw new BackendError('inference-failed', error instanceof Error ? error.message : String(error))
    } finally {
      this.#release()
    }
  }
}

/** Outputs' shapes as they are after a run: one that follows from a dynamic tensor is known only then. */
function outputsInUse(model: TFLiteModel, outputs: TensorPlan[]): TensorPlan[] {
  const runner = runnerOf(model)
  runner.infer()
  const infos = runner.getOutputs()
  return outputs.map((output) => {
    const shape = (infos[output.position]?.shape ?? '').split(',').filter(Boolean).map(Number)
    const found = reshaped(output, shape)
    if (found === undefined) throw new BackendError('model-refused', `Output ${output.name} has no fixed size.`)
    return found
  })
}

function refusal(error: unknown): unknown {
  if (isTrap(error)) return error
  return new BackendError('model-refused', error instanceof Error ? error.message : String(error))
}

/** A WebAssembly.RuntimeError, which TypeScript knows only together with a browser's types. */
function isTrap(error: unknown): boolean {
  return error instanceof Error && error.name === 'RuntimeError'
}

function checkSignature(plan: SignaturePlan): void {
  if (plan.subgraph !== 0) {
    throw new BackendError('model-refused', 'tfjs-tflite runs the first subgraph only; the signature is over another.')
  }
  for (const tensor of [...plan.inputs, ...plan.outputs]) {
    if (!Object.hasOwn(arrays, tensor.dtype)) {
      throw new BackendError('model-refused', `tfjs-tflite does not carry ${tensor.dtype}, the type of ${tensor.name}.`)
    }
  }
  const names = new Map<string, number>()
  for (const { tensorName, position } of plan.outputs) {
    if ((names.get(tensorName) ?? position) !== position) {
      throw new BackendError('model-refused', `tfjs-tflite gives outputs by name, and two are called ${tensorName}.`)
    }
    names.set(tensorName, position)
  }
}

function checkShapes(model: TFLiteModel, plan: SignaturePlan): void {
  const tensors = model.inputs
  for (const { position, name, shape } of plan.inputs) {
    const found = tensors[position]?.shape
    if (found === undefined || found.join() !== shape.join()) {
      throw new BackendError('model-refused', `tfjs-tflite sees [${found}] where the file says [${shape}] for ${name}.`)
    }
  }
}
