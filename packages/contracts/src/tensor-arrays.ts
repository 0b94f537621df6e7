import { DATATYPE_BYTES, type Datatype } from './tensors.ts'

/** The typed array that holds a datatype; FP16 as its bits, BOOL as 0 and 1. */
export const TENSOR_ARRAYS = {
  BOOL: Uint8Array,
  UINT8: Uint8Array,
  UINT16: Uint16Array,
  UINT32: Uint32Array,
  UINT64: BigUint64Array,
  INT8: Int8Array,
  INT16: Int16Array,
  INT32: Int32Array,
  INT64: BigInt64Array,
  FP16: Uint16Array,
  FP32: Float32Array,
  FP64: Float64Array
} as const satisfies Record<Datatype, unknown>

export type TensorArray = InstanceType<(typeof TENSOR_ARRAYS)[Datatype]>

/** Little-endian bytes, whole elements of them, as a typed array; copied only where they are not aligned. */
export function arrayOver(datatype: Datatype, bytes: Uint8Array): TensorArray {
  const width = DATATYPE_BYTES[datatype]
  // Not slice(): a Buffer's shares its memory, and stays where it is.
  const aligned = bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes)
  return new TENSOR_ARRAYS[datatype](aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / width)
}

export const bytesOver = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength)
