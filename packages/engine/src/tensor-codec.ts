import { DATATYPE_BYTES, type Datatype, elementCount, type InferenceTensor, SkerryError } from '@skerry/contracts'

const INTEGER_RANGES: Partial<Record<Datatype, readonly [number, number]>> = {
  INT8: [-128, 127],
  UINT8: [0, 255],
  INT16: [-32_768, 32_767],
  UINT16: [0, 65_535],
  INT32: [-(2 ** 31), 2 ** 31 - 1],
  UINT32: [0, 2 ** 32 - 1],
  INT64: [Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  UINT64: [0, Number.MAX_SAFE_INTEGER]
}

export const byteLength = (datatype: Datatype, shape: readonly number[]): number =>
  DATATYPE_BYTES[datatype] * elementCount(shape)

type Write = (view: DataView, at: number, value: number) => void
const WRITE: Record<Exclude<Datatype, 'FP16'>, Write> = {
  BOOL: (view, at, value) => view.setUint8(at, value),
  UINT8: (view, at, value) => view.setUint8(at, value),
  INT8: (view, at, value) => view.setInt8(at, value),
  UINT16: (view, at, value) => view.setUint16(at, value, true),
  INT16: (view, at, value) => view.setInt16(at, value, true),
  UINT32: (view, at, value) => view.setUint32(at, value, true),
  INT32: (view, at, value) => view.setInt32(at, value, true),
  UINT64: (view, at, value) => view.setBigUint64(at, BigInt(value), true),
  INT64: (view, at, value) => view.setBigInt64(at, BigInt(value), true),
  FP32: (view, at, value) => view.setFloat32(at, value, true),
  FP64: (view, at, value) => view.setFloat64(at, value, true)
}
const READ: Record<Exclude<Datatype, 'FP16'>, (view: DataView, at: number) => number | boolean> = {
  BOOL: (view, at) => view.getUint8(at) !== 0,
  UINT8: (view, at) => view.getUint8(at),
  INT8: (view, at) => view.getInt8(at),
  UINT16: (view, at) => view.getUint16(at, true),
  INT16: (view, at) => view.getInt16(at, true),
  UINT32: (view, at) => view.getUint32(at, true),
  INT32: (view, at) => view.getInt32(at, true),
  UINT64: (view, at) => Number(view.getBigUint64(at, true)),
  INT64: (view, at) => Number(view.getBigInt64(at, true)),
  FP32: (view, at) => view.getFloat32(at, true),
  FP64: (view, at) => view.getFloat64(at, true)
}

/** JSON data to little-endian bytes, row-major. Throws `input-mismatch` naming the tensor and the first bad element. */
export function encodeTensor(tensor: InferenceTensor & { data: (number | boolean)[] }, pointer: string): Uint8Array {
  const { datatype, data } = tensor
  const refuse = (detail: string) =>
    new SkerryError('input-mismatch', `Input ${tensor.name}: ${detail}`, {
      fields: [{ pointer: `${pointer}/data`, detail }]
    })
  if (datatype === 'FP16')
    throw refuse('FP16 has no JSON form in the Open Inference Protocol; send FP32, or the bytes as a blob')
  const count = elementCount(tensor.shape)
  if (data.length !== count) throw refuse(`shape [${tensor.shape}] takes ${count} numbers, data has ${data.length}`)
  const width = DATATYPE_BYTES[datatype]
  const bytes = new Uint8Array(count * width)
  const view = new DataView(bytes.buffer)
  const write = WRITE[datatype]
  const range = INTEGER_RANGES[datatype]
  for (let i = 0; i < count; i++) {
    const value = data[i]
    if ((datatype === 'BOOL') !== (typeof value === 'boolean')) throw refuse(`element ${i} is not a ${datatype}`)
    const number = Number(value)
    if (range !== undefined && !(Number.isInteger(number) && number >= range[0] && number <= range[1]))
      throw refuse(`element ${i} (${number}) does not fit ${datatype}`)
    write(view, i * width, number)
  }
  return bytes
}

/** Little-endian bytes to JSON data. NaN and infinities, which JSON lacks, become null in the encoding of the answer. */
export function decodeTensor(datatype: Datatype, shape: readonly number[], bytes: Uint8Array): (number | boolean)[] {
  if (datatype === 'FP16') throw new SkerryError('internal', 'FP16 outputs are answered as blobs')
  const count = elementCount(shape)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const read = READ[datatype]
  const width = DATATYPE_BYTES[datatype]
  return Array.from({ length: count }, (_, i) => read(view, i * width))
}
