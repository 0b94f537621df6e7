import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ModelPlan, SignaturePlan, TensorPlan } from './model-plan.ts'
import { type Backend, BackendError, type BackendModel, type BoundSignature, bindSignatures } from './serve-backend.ts'

const require = createRequire(import.meta.url)

type NativeArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

type NativeTensor = { readonly shape: string; data(): NativeArray }

type Interpreter = { getInputs(): NativeTensor[]; getOutputs(): NativeTensor[]; infer(): boolean }

type Addon = { Interpreter: new (model: ArrayBuffer, options: { threads: number }) => Interpreter }

// The arrays that the addon lends for a tensor of each type that it carries.
const arrays: Readonly<Partial<Record<TensorPlan['dtype'], string>>> = {
  float32: 'Float32Array',
  float64: 'Float64Array',
  int8: 'Int8Array',
  uint8: 'Uint8Array',
  int16: 'Int16Array',
  int32: 'Int32Array',
  uint32: 'Uint32Array',
  int64: 'BigInt64Array',
  uint64: 'BigUint64Array',
  bool: 'Uint8Array'
}

/**
 * TensorFlow.js's native TFLite, by the interpreter of its addon. The package's TFLiteModel on top of that reports int8
 * tensors as int32 and would need TensorFlow.js itself; what a tensor is stands in the file, which the plan was read
 * from.
 */
export function createTfjsTfliteNodeBackend(): Backend {
  const { addon, version } = openAddon()
  return {
    version,
    dtypes: ['float32', 'int8', 'uint8', 'int16', 'int32', 'int64', 'bool'],
    inferencesPerTurn: 1,
    load: async (plan, source, threads) => {
      checkPlan(plan)
      const file = typeof source === 'string' ? readFileSync(source) : source
      const bytes = file.buffer.slice(file.byteOffset, file.byteOffset + file.byteLength) as ArrayBuffer
      return new TfjsTfliteNodeModel(createInterpreter(addon, bytes, threads), plan)
    }
  }
}

function openAddon(): { addon: Addon; version: string } {
  let manifest: string
  try {
    manifest = require.resolve('tfjs-tflite-node/package.json')
  } catch (cause) {
    throw new Error('the optional package tfjs-tflite-node is not installed', { cause })
  }
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }
  try {
    const addon = require(path.join(path.dirname(manifest), 'build/Release/node_tflite_binding.node')) as Addon
    return { addon, version }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new Error(`the addon of tfjs-tflite-node ${version} was not built or does not load here: ${why}`, { cause })
  }
}

function createInterpreter(addon: Addon, model: ArrayBuffer, threads: number): Interpreter {
  try {
    return new addon.Interpreter(model, { threads })
  } catch (error) {
    throw new BackendError('model-refused', words(error))
  }
}

class TfjsTfliteNodeModel implements BackendModel {
  signatures: (BoundSignature | string)[]

  constructor(interpreter: Interpreter, plan: ModelPlan) {
    this.signatures = bindSignatures(plan, (signature) => {
      checkSignature(signature)
      return new TfjsTfliteNodeSignature(interpreter, signature)
    })
  }

  unload(): void {
    this.signatures = []
    // The addon has no way to release an interpreter but to be collected, and the collector does not see its memory.
    setFlagsFromString('--expose-gc')
    setImmediate(() => (runInNewContext('gc') as () => void)())
  }
}

class TfjsTfliteNodeSignature implements BoundSignature {
  readonly outputs: readonly TensorPlan[]
  readonly #interpreter: Interpreter
  readonly #inputs: Uint8Array[]
  readonly #results: { plan: TensorPlan; tensor: NativeTensor; bytes: Uint8Array }[]

  constructor(interpreter: Interpreter, plan: SignaturePlan) {
    this.#interpreter = interpreter
    this.outputs = plan.outputs
    const [inputs, outputs] = [interpreter.getInputs(), interpreter.getOutputs()]
    this.#inputs = plan.inputs.map((tensor) => bind(tensor, inputs).bytes)
    this.#results = plan.outputs.map((tensor) => ({ plan: tensor, ...bind(tensor, outputs) }))
  }

  inputs(): Uint8Array[] {
    return this.#inputs
  }

  run(): { inferenceMs: number; outputs: Uint8Array[] } {
    const started = performance.now()
    try {
      this.#interpreter.infer()
    } catch (error) {
      throw new BackendError('inference-failed', words(error))
    }
    const inferenceMs = performance.now() - started
    for (const { plan, tensor } of this.#results) {
      // The addon copies as many bytes as the output has by now into memory that it took before: the process must end.
      if (tensor.shape !== plan.shape.join()) {
        throw new Error(`output ${plan.name} became [${tensor.shape}] where the file says [${plan.shape}]`)
      }
    }
    return { inferenceMs, outputs: this.#results.map((output) => output.bytes) }
  }
}

function checkPlan(plan: ModelPlan): void {
  if (plan.resized) throw new BackendError('model-refused', 'tfjs-tflite-node cannot resize inputs.')
  if (plan.perChannelFullyConnected) {
    // It has the operator at that version, takes the scales for none, and answers the zero point to everything.
    const message = 'tfjs-tflite-node computes a FULLY_CONNECTED with a scale per channel wrongly.'
    throw new BackendError('model-refused', message)
  }
  checkSignature(plan.signatures[0])
}

function checkSignature(plan: SignaturePlan): void {
  if (plan.subgraph !== 0) {
    const message = 'tfjs-tflite-node runs the first subgraph only; the signature is over another.'
    throw new BackendError('model-refused', message)
  }
  for (const tensor of [...plan.inputs, ...plan.outputs]) {
    if (arrays[tensor.dtype] === undefined) {
      const message = `tfjs-tflite-node does not carry ${tensor.dtype}, the type of ${tensor.name}.`
      throw new BackendError('model-refused', message)
    }
  }
}

function bind(plan: TensorPlan, tensors: NativeTensor[]): { tensor: NativeTensor; bytes: Uint8Array } {
  const tensor = tensors[plan.position]
  const data = tensor?.data()
  if (tensor === undefined || data === undefined) {
    throw new BackendError('model-refused', `tfjs-tflite-node does not find tensor ${plan.name}.`)
  }
  if (data.constructor.name !== arrays[plan.dtype] || data.byteLength !== plan.bytes) {
    const found = `${data.byteLength} bytes as ${data.constructor.name}`
    const expected = `${plan.bytes} bytes of ${plan.dtype}`
    throw new BackendError(
      'model-refused',
      `tfjs-tflite-node has ${found} for ${plan.name}; the file says ${expected}.`
    )
  }
  return { tensor, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) }
}

function words(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim().replaceAll(/\s*\n/g, ' ')
}
