import type { Static } from 'typebox'
import { mismatch } from './check.ts'
import { arrayOver, bytesOver, TENSOR_ARRAYS } from './tensor-arrays.ts'
import { DATATYPE_BYTES, type Datatype, elementCount } from './tensors.ts'
import { Type } from './type.ts'

const Parameters = Type.Record(Type.String(), Type.Unknown())
/** The JSON of an inference request of the Open Inference Protocol V2. */
export const InferHeader = Type.Object({
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
export type InferHeader = Static<typeof InferHeader>
type GivenInput = InferHeader['inputs'][number]

/** What is wrong with a request of the Open Inference Protocol, in words for its sender: HTTP 400. */
export class OpenInferenceError extends Error {
  override readonly name = 'OpenInferenceError'
}

/** `bytes` are little-endian, in row-major order, as many as datatype and shape take. */
export type InferTensor = { name: string; datatype: Datatype; shape: number[]; bytes: Uint8Array }
export type InferRequest = {
  id?: string
  inputs: InferTensor[]
  /** null: all of the model's, in its order. */
  outputs: AskedOutput[] | null
  /** For outputs that say nothing of it themselves. */
  binaryByDefault: boolean
  /** How long the caller is willing to wait. */
  timeoutMs?: number
  parameters: Record<string, unknown>
}
export type AskedOutput = { name: string; binary: boolean }

/**
 * An inference request of the Open Inference Protocol V2. With `headerBytes` (Inference-Header-Content-Length) the body
 * is that much JSON and then the raw little-endian tensors of the inputs that have `parameters.binary_data_size`, in
 * order; without it the body is JSON alone. Throws OpenInferenceError.
 */
export function parseInferRequest(body: Uint8Array, headerBytes: string | undefined): InferRequest {
  const length = headerBytes === undefined ? body.byteLength : Number(headerBytes)
  if (!Number.isInteger(length) || length < 0 || length > body.byteLength) {
    throw invalid(`Inference-Header-Content-Length is ${headerBytes}; the body has ${body.byteLength} bytes.`)
  }
  const header = parseHeader(new TextDecoder().decode(body.subarray(0, length)))
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
    ...(typeof timeout === 'number' && timeout > 0 ? { timeoutMs: timeout / 1000 } : {}),
    parameters
  }
}

/** The outputs that a request asks for, of those that the model has. Throws OpenInferenceError. */
export function askedOutputs(
  names: readonly string[],
  { outputs: asked, binaryByDefault }: Pick<InferRequest, 'outputs' | 'binaryByDefault'>
): AskedOutput[] {
  if (asked === null) return names.map((name) => ({ name, binary: binaryByDefault }))
  for (const { name } of asked)
    if (!names.includes(name)) throw invalid(`The model has no output ${name}; it has ${names.join(', ')}.`)
  return asked
}

/**
 * An inference's answer: JSON, or with any binary output JSON of Inference-Header-Content-Length bytes followed by the
 * binary outputs' bytes in the order of the JSON. Throws OpenInferenceError for values that JSON cannot say.
 */
export function encodeInferAnswer(
  model: { name: string; version: string; id?: string },
  outputs: readonly (Omit<InferTensor, 'shape'> & { shape: readonly number[]; binary: boolean })[]
): { headers: Record<string, string>; parts: Uint8Array[] } {
  const body: Uint8Array[] = []
  const tensors = outputs.map(({ name, datatype, shape, bytes, binary }) => {
    const head = `"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(',')}]`
    if (!binary) return `{${head},"data":[${jsonValues(name, datatype, bytes)}]}`
    body.push(bytes)
    return `{${head},"parameters":{"binary_data_size":${bytes.byteLength}}}`
  })
  const id = model.id === undefined ? '' : `"id":${JSON.stringify(model.id)},`
  const head = new TextEncoder().encode(
    `{${id}"model_name":${JSON.stringify(model.name)},"model_version":${JSON.stringify(model.version)},` +
      `"outputs":[${tensors.join(',')}]}`
  )
  return body.length === 0
    ? { headers: { 'content-type': 'application/json' }, parts: [head] }
    : {
        headers: {
          'content-type': 'application/octet-stream',
          'inference-header-content-length': String(head.byteLength)
        },
        parts: [head, ...body]
      }
}

const invalid = (message: string): OpenInferenceError => new OpenInferenceError(message)

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

function readTensors(inputs: readonly GivenInput[], raw: Uint8Array): InferTensor[] {
  const names = new Set<string>()
  let at = 0
  const tensors = inputs.map((input): InferTensor => {
    const { name, shape, parameters = {}, data } = input
    if (names.has(name)) throw invalid(`Input ${name} is given twice.`)
    names.add(name)
    refuseExtensions(`Input ${name}`, parameters)
    const datatype = datatypeNamed(name, input.datatype)
    const size = parameters.binary_data_size
    if (size === undefined) {
      if (data === undefined) throw invalid(`Input ${name} has neither data nor binary_data_size.`)
      return { name, datatype, shape, bytes: fromJson(name, datatype, shape, data) }
    }
    if (typeof size !== 'number' || !Number.isInteger(size) || size < 0 || at + size > raw.byteLength) {
      throw invalid(`Input ${name}: the body does not hold the ${size} bytes of its binary_data_size.`)
    }
    at += size
    const takes = DATATYPE_BYTES[datatype] * elementCount(shape)
    if (size !== takes)
      throw invalid(`Input ${name} has ${size} bytes; ${datatype} [${shape.join(', ')}] takes ${takes}.`)
    return { name, datatype, shape, bytes: raw.subarray(at - size, at) }
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
function fromJson(name: string, datatype: Datatype, shape: readonly number[], data: readonly unknown[]): Uint8Array {
  if (datatype === 'FP16') throw invalid(`Input ${name}: FP16 has no JSON form; send it as binary data.`)
  const values = data.flat(Number.POSITIVE_INFINITY) as unknown[]
  const elements = elementCount(shape)
  if (values.length !== elements) {
    throw invalid(`Input ${name} has ${values.length} elements; [${shape.join(', ')}] takes ${elements}.`)
  }
  const array = new TENSOR_ARRAYS[datatype](elements)
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
  return bytesOver(array)
}

/** Not JSON.stringify: it knows no 64-bit integers, and writes null for what is not a number. */
function jsonValues(name: string, datatype: Datatype, bytes: Uint8Array): string {
  if (datatype === 'FP16') throw invalid(`Output ${name} is FP16, which has no JSON form; ask for binary data.`)
  const data = arrayOver(datatype, bytes)
  if (datatype === 'BOOL') return Array.from(data as Uint8Array, (value) => value !== 0).join(',')
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return data.join(',')
  for (const value of data) {
    if (!Number.isFinite(value))
      throw invalid(`Output ${name} holds ${value}, which JSON has no form for; ask for binary data.`)
  }
  return data.join(',')
}
