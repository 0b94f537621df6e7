import {
  dequantize,
  elementCount,
  isQuantizedDtype,
  type Quantization,
  QuantizationError,
  type QuantizedArray,
  type QuantizedDtype,
  quantize,
  type TensorSpec,
  type TfliteDtype
} from '@skerry/tflite'
import { toFloat16 } from './float16.ts'
import type { InvokeOptions, LoadedModel, TfliteRuntime } from './runtime.ts'
import { RuntimeError } from './runtime-error.ts'

/** Original tensor name to the variant's signature name. */
export type NameMap = { inputs: Record<string, string>; outputs: Record<string, string> }

/** Elements of a tensor; bool as Uint8Array of 0 and 1, float16 as the 16-bit patterns, and float32 as an input. */
export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

export type SessionOutput = { dtype: TfliteDtype; shape: number[]; data: TensorData }

export type SessionResult = {
  outputs: Map<string, SessionOutput>
  timings: { quantizeMs: number; inferenceMs: number; dequantizeMs: number }
}

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array
} as const

type Binding = { original: string; spec: TensorSpec; quantized: { dtype: QuantizedDtype; q: Quantization } | undefined }

/**
 * A loaded model under the original model's names and dtypes, whatever variant it is: where the variant's tensor is
 * quantized, callers give and get float32.
 */
export class ModelSession {
  /** The model's borders as callers see them: original names, and float32 for quantized tensors. */
  readonly inputs: readonly TensorSpec[]
  readonly outputs: readonly TensorSpec[]
  readonly #runtime: TfliteRuntime
  readonly #modelId: string
  readonly #now: () => number
  readonly #inputs: Binding[]
  readonly #outputs: Binding[]

  /**
   * Without `names` the signature's names are the original ones. `now` gives milliseconds.
   *
   * @throws RuntimeError `model-refused` when the names do not cover the model's inputs, or name what it has not.
   */
  constructor(
    runtime: TfliteRuntime,
    modelId: string,
    loaded: LoadedModel,
    names?: NameMap,
    now: () => number = () => performance.now()
  ) {
    this.#runtime = runtime
    this.#modelId = modelId
    this.#now = now
    this.#inputs = bind(loaded.inputs, names?.inputs, 'input')
    this.#outputs = bind(loaded.outputs, names?.outputs, 'output')
    if (this.#inputs.length !== loaded.inputs.length) {
      throw new RuntimeError('model-refused', 'The names given do not cover every input of the model.')
    }
    this.inputs = this.#inputs.map(original)
    this.outputs = this.#outputs.map(original)
  }

  /** One inference. @throws RuntimeError `input-invalid` for a wrong name, type, length or NaN, else as `invoke`. */
  async run(inputs: ReadonlyMap<string, TensorData>, options: InvokeOptions = {}): Promise<SessionResult> {
    const started = this.#now()
    const bytes = this.#encode(inputs)
    const quantizeMs = this.#now() - started
    const { outputs: raw, inferenceMs } = await this.#runtime.invoke(this.#modelId, bytes, options)
    const received = this.#now()
    const outputs = new Map(
      this.#outputs.map((binding) => [
        binding.original,
        decode(binding, raw.get(binding.spec.name) ?? new Uint8Array(0))
      ])
    )
    return { outputs, timings: { quantizeMs, inferenceMs, dequantizeMs: this.#now() - received } }
  }

  #encode(inputs: ReadonlyMap<string, TensorData>): Map<string, Uint8Array> {
    for (const name of inputs.keys()) {
      if (!this.#inputs.some((binding) => binding.original === name)) {
        const known = this.#inputs.map((binding) => binding.original).join(', ')
        throw new RuntimeError('input-invalid', `The model has no input ${name}; its inputs are ${known}.`)
      }
    }
    return new Map(
      this.#inputs.map((binding) => {
        const data = inputs.get(binding.original)
        if (data === undefined) throw new RuntimeError('input-invalid', `Input ${binding.original} is missing.`)
        return [binding.spec.name, encode(binding, data)]
      })
    )
  }
}

function bind(specs: TensorSpec[], names: Record<string, string> | undefined, kind: string): Binding[] {
  const entries = names === undefined ? specs.map((spec) => [spec.name, spec.name] as const) : Object.entries(names)
  return entries.map(([name, signatureName]) => {
    const spec = specs.find((each) => each.name === signatureName)
    if (spec === undefined) throw new RuntimeError('model-refused', `The model has no ${kind} ${signatureName}.`)
    const { dtype, quantization: q } = spec
    return { original: name, spec, quantized: q !== undefined && isQuantizedDtype(dtype) ? { dtype, q } : undefined }
  })
}

function original({ original: name, spec, quantized }: Binding): TensorSpec {
  const { dtype, shape, shapeSignature } = spec
  return { name, dtype: quantized === undefined ? dtype : 'float32', shape, shapeSignature }
}

function encode({ original: name, spec, quantized }: Binding, data: TensorData): Uint8Array {
  const expected = elementCount(spec.shape)
  if (data.length !== expected) {
    const shape = `[${spec.shape.join(', ')}]`
    throw new RuntimeError('input-invalid', `Input ${name} has ${data.length} elements; ${shape} takes ${expected}.`)
  }
  if (quantized !== undefined && data instanceof Float32Array) {
    try {
      return bytesOf(quantize(data, quantized.q, quantized.dtype))
    } catch (cause) {
      if (!(cause instanceof QuantizationError)) throw cause
      throw new RuntimeError('input-invalid', `Input ${name}: ${cause.message}`, { cause })
    }
  }
  // A quantized tensor's own stored values are taken as they are.
  if (spec.dtype === 'float16' && data instanceof Float32Array) return bytesOf(toFloat16(data))
  const array = arrayOf(spec.dtype)
  if (array === undefined || !(data instanceof array)) {
    const also = quantized === undefined && spec.dtype !== 'float16'
    const type = also ? spec.dtype : `float32 or ${spec.dtype}`
    throw new RuntimeError('input-invalid', `Input ${name} takes ${type}, not ${data.constructor.name}.`)
  }
  return bytesOf(data)
}

function decode({ original: name, spec, quantized }: Binding, bytes: Uint8Array): SessionOutput {
  const array = arrayOf(spec.dtype)
  if (array === undefined) throw new RuntimeError('inference-failed', `Output ${name} has type ${spec.dtype}.`)
  const stored = new array(bytes.buffer as ArrayBuffer, bytes.byteOffset, elementCount(spec.shape))
  if (quantized === undefined) return { dtype: spec.dtype, shape: spec.shape, data: stored }
  return { dtype: 'float32', shape: spec.shape, data: dequantize(stored as QuantizedArray, quantized.q) }
}

function arrayOf(dtype: TfliteDtype): (typeof arrays)[keyof typeof arrays] | undefined {
  return Object.hasOwn(arrays, dtype) ? arrays[dtype as keyof typeof arrays] : undefined
}

function bytesOf(data: TensorData): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}
