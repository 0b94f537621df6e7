import type { TfliteDtype } from './model.ts'

/** Element types by the schema's code (enum TensorType); FLOAT8 codes 21 and 22 are not read, no runtime takes them. */
export const dtypesByCode: readonly TfliteDtype[] = [
  'float32',
  'float16',
  'int32',
  'uint8',
  'int64',
  'string',
  'bool',
  'int16',
  'complex64',
  'int8',
  'float64',
  'complex128',
  'uint64',
  'resource',
  'variant',
  'uint32',
  'uint16',
  'int4',
  'bfloat16',
  'int2',
  'uint4'
]

const bitsByDtype: Readonly<Record<TfliteDtype, number | undefined>> = {
  float32: 32,
  float16: 16,
  bfloat16: 16,
  float64: 64,
  int2: 2,
  int4: 4,
  uint4: 4,
  int8: 8,
  uint8: 8,
  int16: 16,
  uint16: 16,
  int32: 32,
  uint32: 32,
  int64: 64,
  uint64: 64,
  bool: 8,
  string: undefined,
  complex64: 64,
  complex128: 128,
  resource: undefined,
  variant: undefined
}

/** Number of elements of a static shape; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1)
}

/** Bytes of a dense tensor, packed types rounded up to whole bytes; undefined for types without a fixed size. */
export function tensorBytes(dtype: TfliteDtype, shape: readonly number[]): number | undefined {
  const bits = bitsByDtype[dtype]
  return bits === undefined ? undefined : Math.ceil((elementCount(shape) * bits) / 8)
}
