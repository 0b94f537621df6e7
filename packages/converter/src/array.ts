import type { Datatype } from './types.ts'

/** Element types of the arrays that travel in files here, by numpy's names (which are TFLite's too). */
export type ArrayDtype =
  | 'bool'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'float16'
  | 'float32'
  | 'float64'

/** Elements of an array; bool as 0 and 1, float16 as the 16-bit patterns. */
export type ArrayData =
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>

/** Row-major. */
export type NamedArray = { name: string; dtype: ArrayDtype; shape: number[]; data: ArrayData }

const constructors = {
  bool: Uint8Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  uint64: BigUint64Array,
  int8: Int8Array,
  int16: Int16Array,
  int32: Int32Array,
  int64: BigInt64Array,
  float16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array
} as const satisfies Record<ArrayDtype, unknown>

const datatypes: Record<ArrayDtype, Datatype> = {
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

export const isArrayDtype = (name: string): name is ArrayDtype => Object.hasOwn(constructors, name)

/** The Open Inference Protocol's name. */
export const datatypeOf = (dtype: ArrayDtype): Datatype => datatypes[dtype]

export const bytesPerElement = (dtype: ArrayDtype): number => constructors[dtype].BYTES_PER_ELEMENT

export const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1)

/** Copies little-endian bytes into elements; their number must be a multiple of the element's size. */
export function arrayFromBytes(dtype: ArrayDtype, bytes: Uint8Array): ArrayData {
  const copy = new Uint8Array(bytes.byteLength)
  copy.set(bytes)
  return new constructors[dtype](copy.buffer)
}

export const bytesOf = (data: ArrayData): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength)

/** Rows [from, to) along the first axis, sharing memory. */
export function rows(array: NamedArray, from: number, to: number): ArrayData {
  const width = elementsOf(array.shape.slice(1))
  return array.data.subarray(from * width, to * width)
}

/** The elements as numbers; integers beyond 2^53 lose their last bits. */
export function toNumbers(dtype: ArrayDtype, data: ArrayData): Float64Array<ArrayBuffer> {
  if (dtype === 'float16') return Float64Array.from(data as Uint16Array, halfToNumber)
  return Float64Array.from(data as ArrayLike<number | bigint>, Number)
}

/** Whole or real numbers as elements of a type other than float16, rounded and wrapped as JavaScript does. */
export function fromNumbers(dtype: Exclude<ArrayDtype, 'float16'>, values: Float64Array): ArrayData {
  switch (dtype) {
    case 'int64':
      return BigInt64Array.from(values, BigInt)
    case 'uint64':
      return BigUint64Array.from(values, BigInt)
    default:
      return constructors[dtype].from(values)
  }
}

function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
