import { DATATYPE_BYTES, type Datatype, elementCount, mismatch, Type } from '@skerry/contracts'
import type { TensorData } from '@skerry/runtimes'
import type { Static } from 'typebox'
import { emptyArray, toArray } from '../tensor-values.ts'
import { invalid } from './local-error.ts'

const Parameters = Type.Record(Type.String(), Type.Unknown())
const InferHeader = Type.Object({
  id: Type.Optional(Type.String()),
  parameters: Type.Optional(Parameters),
  inputs: Type.Array(
    Type.Object({
      name: Type.String(),
      datatype: Type.String(),
      shape: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 8 }),
      parameters: Type.Optional(Parameters),
      data: Type.Optional(Type.Array(Type.Unknown()))
    }),
    { minItems: 1, maxItems: 256 }
  ),
  outputs: Type.Optional(
    Type.Array(Type.Object({ name: Type.String(), parameters: Type.Optional(Parameters) }), { maxItems: 256 })
  )
})
type InferHeader = Static<typeof InferHeader>
type GivenInput = InferHeader['inputs'][number]

export type LocalTensor = { name: string; datatype: Datatype; shape: number[]; data: TensorData }
export type InferRequest = {
  id?: string
  inputs: LocalTensor[]
  /** null: all of the model's, in its order. */
  outputs: { name: string; binary: boolean }[] | null
  /** For outputs that say nothing of it themselves. */
  binaryByDefault: boolean
  /** How long the caller is willing to wait. */
  timeoutMs?: number
}

/**
 * An inference request of the Open Inference Protocol V2. With `headerBytes` (Inference-Header-Content-Length) the body
 * is that much JSON and then the raw little-endian tensors of the inputs that have `parameters.binary_data_size`, in
 * order; without it the body is JSON alone. Throws LocalError 400.
 */
export function parseInferRequest(body: Buffer, headerBytes: string | undefined): InferRequest {
  const length = headerBytes === undefined ? body.byteLength : Number(headerBytes)
  if (!Number.isInteger(length) || length < 0 || length > body.byteLength) {
    throw invalid(`Inference-Header-Content-Length is ${headerBytes}; the body has ${body.byteLength} bytes.`)
  }
  const header = parseHeader(body.toString('utf8', 0, length))
  const { parameters = {}, outputs } = header
  const binaryByDefault = parameters.binary_data_output === true
  // Microseconds, as Triton's clients send it.
  const { timeout } = parameters
  return {
    ...(header.id === undefined ? {} : { id: header.id }),
    inputs: readTensors(header.inputs, body.subarray(length)),
    outputs:
      outputs === undefined || outputs.length === 0
        ? null
        : outputs.map(({ name, parameters: asked = {} }) => {
            refuseExtensions(`Output ${name}`, asked)
            return { name, binary: (asked.binary_data ?? binaryByDefault) === true }
          }),
    binaryByDefault,
    ...(typeof timeout === 'number' && timeout > 0 ? { timeoutMs: timeout / 1000 } : {})
  }
}

function parseHeader(text: string): InferHeader {
  let header: unknown
  try {
    header = JSON.parse(text)
  } catch (error) {
    throw invalid(`The request is not JSON: ${(error as Error).message}`)
  }
  const wrong = mismatch(InferHeader, header)
  if (wrong === null) return header as InferHeader
  throw invalid(`The request is not an inference request: one whose ${wrong.pointer || '/'} ${wrong.rule}.`)
}

function readTensors(inputs: readonly GivenInput[], raw: Buffer): LocalTensor[] {
  const names = new Set<string>()
  let at = 0
  const tensors = inputs.map((input): LocalTensor => {
    const { name, shape, parameters = {}, data } = input
    if (names.has(name)) throw invalid(`Input ${name} is given twice.`)
    names.add(name)
    refuseExtensions(`Input ${name}`, parameters)
    const datatype = datatypeNamed(name, input.datatype)
    const bytes = parameters.binary_data_size
    if (bytes === undefined) {
      if (data === undefined) throw invalid(`Input ${name} has neither data nor binary_data_size.`)
      return { name, datatype, shape, data: fromJson(name, datatype, shape, data) }
    }
    if (typeof bytes !== 'number' || !Number.isInteger(bytes) || bytes < 0 || at + bytes > raw.byteLength) {
      throw invalid(`Input ${name}: the body does not hold the ${bytes} bytes of its binary_data_size.`)
    }
    at += bytes
    return { name, datatype, shape, data: toArray(name, datatype, shape, raw.subarray(at - bytes, at)) }
  })
  if (at !== raw.byteLength) throw invalid(`${raw.byteLength - at} bytes after the last tensor belong to no input.`)
  return tensors
}

function datatypeNamed(name: string, datatype: string): Datatype {
  if (Object.hasOwn(DATATYPE_BYTES, datatype)) return datatype as Datatype
  throw invalid(`Input ${name} has datatype ${datatype}; known are ${Object.keys(DATATYPE_BYTES).join(', ')}.`)
}

function refuseExtensions(what: string, parameters: Record<string, unknown>): void {
  for (const key of ['shared_memory_region', 'classification']) {
    if (key in parameters) throw invalid(`${what}: ${key} is not offered here.`)
  }
}

/** `data` flat or nested, in row-major order. */
function fromJson(name: string, datatype: Datatype, shape: readonly number[], data: readonly unknown[]): TensorData {
  if (datatype === 'FP16') throw invalid(`Input ${name}: FP16 has no JSON form; send it as binary data.`)
  const values = data.flat(Number.POSITIVE_INFINITY) as unknown[]
  const elements = elementCount(shape)
  if (values.length !== elements) {
    throw invalid(`Input ${name} has ${values.length} elements; [${shape.join(', ')}] takes ${elements}.`)
  }
  const array = emptyArray(datatype, elements)
  for (const [index, value] of values.entries()) {
    const number = typeof value === 'boolean' ? Number(value) : value
    if (typeof number !== 'number') throw invalid(`Input ${name}: element ${index} is not a number.`)
    if (array instanceof BigInt64Array || array instanceof BigUint64Array) {
      if (!Number.isSafeInteger(number))
        throw invalid(`Input ${name}: ${number} is not exact in JSON; send it as binary.`)
      array[index] = BigInt(number)
      if (array[index] !== BigInt(number)) throw invalid(`Input ${name}: ${number} does not fit ${datatype}.`)
    } else {
      array[index] = number
      const exact = array instanceof Float32Array || array instanceof Float64Array || array[index] === number
      if (!exact || (datatype === 'BOOL' && number > 1)) {
        throw invalid(`Input ${name}: ${number} does not fit ${datatype}.`)
      }
    }
  }
  return array
}
