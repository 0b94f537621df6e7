import type { Datatype } from '@skerry/contracts'
import type { TensorData } from '@skerry/runtimes'
import { toBytes } from '../tensor-values.ts'
import { invalid } from './local-error.ts'

export type AnsweredTensor = {
  name: string
  datatype: Datatype
  shape: readonly number[]
  data: TensorData
  binary: boolean
}
export type LocalAnswer = { headers: Record<string, string>; parts: Uint8Array[] }

/**
 * An inference's answer: JSON, or with any binary output JSON of Inference-Header-Content-Length bytes followed by the
 * binary outputs' little-endian bytes in the order of the JSON. Throws LocalError 400 for values that JSON cannot say.
 */
export function encodeAnswer(
  model: { name: string; version: string; id?: string },
  outputs: readonly AnsweredTensor[]
): LocalAnswer {
  const body: Uint8Array[] = []
  const tensors = outputs.map(({ name, datatype, shape, data, binary }) => {
    const head = `"name":${JSON.stringify(name)},"datatype":"${datatype}","shape":[${shape.join(',')}]`
    if (!binary) return `{${head},"data":[${jsonValues(name, datatype, data)}]}`
    const bytes = toBytes(data)
    body.push(bytes)
    return `{${head},"parameters":{"binary_data_size":${bytes.byteLength}}}`
  })
  const id = model.id === undefined ? '' : `"id":${JSON.stringify(model.id)},`
  const head = Buffer.from(
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

/** Not JSON.stringify: it knows no 64-bit integers, and writes null for what is not a number. */
function jsonValues(name: string, datatype: Datatype, data: TensorData): string {
  if (datatype === 'FP16') throw invalid(`Output ${name} is FP16, which has no JSON form; ask for binary data.`)
  if (datatype === 'BOOL') return Array.from(data as Uint8Array, (value) => value !== 0).join(',')
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) return data.join(',')
  for (const value of data) {
    if (!Number.isFinite(value))
      throw invalid(`Output ${name} holds ${value}, which JSON has no form for; ask for binary data.`)
  }
  return data.join(',')
}
