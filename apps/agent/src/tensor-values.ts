import { arrayOver, DATATYPE_BYTES, type Datatype, elementCount, TENSOR_ARRAYS } from '@skerry/contracts'
import type { TensorData } from '@skerry/runtimes'
import type { TfliteDtype } from '@skerry/tflite'
import { AgentError } from './agent-error.ts'

const DATATYPE_OF: Partial<Record<TfliteDtype, Datatype>> = {
  bool: 'BOOL',
  uint8: 'UINT8',
  uint16: 'UINT16',
  uint32: 'UINT32',
  uint64: 'UINT64',
  int8: 'INT8',
  int16: 'INT16',
  int32: 'INT32',
  int64: 'INT64',
  float16: 'FP16',
  float32: 'FP32',
  float64: 'FP64'
}

export function datatypeOf(dtype: TfliteDtype): Datatype {
  const datatype = DATATYPE_OF[dtype]
  if (datatype === undefined) throw new AgentError('tensor-invalid', `Tensors of type ${dtype} have no wire form.`)
  return datatype
}

/** Little-endian bytes of a dense tensor as a typed array; copied only where the bytes are not aligned. */
export function toArray(name: string, datatype: Datatype, shape: readonly number[], bytes: Uint8Array): TensorData {
  const elements = elementCount(shape)
  const expected = elements * DATATYPE_BYTES[datatype]
  if (bytes.byteLength !== expected) {
    const said = `${datatype} [${shape.join(', ')}]`
    throw new AgentError('tensor-invalid', `Input ${name} has ${bytes.byteLength} bytes; ${said} takes ${expected}.`)
  }
  return arrayOver(datatype, bytes)
}

/**
 * The same values as another datatype, for a variant that computes in another type than the original's (an int32
 * where the original has int64). FP16 is passed on only as it is.
 */
export function convertArray(data: TensorData, from: Datatype, to: Datatype): TensorData {
  if (from === to) return data
  if (from === 'FP16' || to === 'FP16') {
    throw new AgentError('tensor-invalid', `A tensor of ${from} cannot be given as ${to}.`)
  }
  if (to === 'INT64' || to === 'UINT64') {
    const values = Array.from(data as ArrayLike<number | bigint>, (value) =>
      typeof value === 'bigint' ? value : BigInt(Math.trunc(value))
    )
    return to === 'INT64' ? BigInt64Array.from(values) : BigUint64Array.from(values)
  }
  return TENSOR_ARRAYS[to].from(Array.from(data as ArrayLike<number | bigint>, Number))
}

/** Inputs in the datatypes in which the loaded variant takes them; what the model does not have is left as it is. */
export function castInputs(
  specs: readonly { name: string; dtype: TfliteDtype }[],
  given: readonly { name: string; datatype: Datatype; data: TensorData }[]
): Map<string, TensorData> {
  return new Map(
    given.map(({ name, datatype, data }) => {
      const spec = specs.find((spec) => spec.name === name)
      return [name, spec === undefined ? data : convertArray(data, datatype, datatypeOf(spec.dtype))]
    })
  )
}
