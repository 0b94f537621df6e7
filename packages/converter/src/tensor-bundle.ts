import {
  type ArrayDtype,
  arrayFromBytes,
  bytesOf,
  bytesPerElement,
  elementsOf,
  isArrayDtype,
  type NamedArray
} from './array.ts'

export type TensorBundleErrorCode = 'truncated' | 'bad-header' | 'bad-tensor'

export class TensorBundleError extends Error {
  override readonly name = 'TensorBundleError'
  readonly code: TensorBundleErrorCode
  constructor(code: TensorBundleErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/** Tensors in one file; `meta` is any JSON that belongs to them. */
export type TensorBundle = { tensors: NamedArray[]; meta: Record<string, unknown> }

const maxHeaderBytes = 4 << 20
// Elements start aligned, so that a reader may look at them in place.
const alignment = 8

/**
 * u32 little-endian length of the header, a JSON header `{tensors: [{name, dtype, shape, offset, bytes}], meta}`, and
 * the tensors' little-endian elements in row-major order; `offset` counts from the end of the header.
 */
export function encodeTensorBundle(tensors: readonly NamedArray[], meta: Record<string, unknown> = {}): Buffer {
  let offset = 0
  const parts: Uint8Array[] = []
  const described = tensors.map(({ name, dtype, shape, data }) => {
    const bytes = data.byteLength
    if (bytes !== elementsOf(shape) * bytesPerElement(dtype)) {
      throw new TensorBundleError('bad-tensor', `Tensor ${name} has ${bytes} bytes, which do not fit [${shape}].`)
    }
    const entry = { name, dtype, shape, offset, bytes }
    const padding = -bytes & (alignment - 1)
    parts.push(bytesOf(data), new Uint8Array(padding))
    offset += bytes + padding
    return entry
  })
  const json = JSON.stringify({ tensors: described, meta })
  const length = Buffer.byteLength(json)
  const padded = length + (-(length + 4) & (alignment - 1))
  const head = Buffer.alloc(4 + padded, ' ')
  head.writeUInt32LE(padded)
  head.write(json, 4)
  return Buffer.concat([head, ...parts])
}

/** @throws TensorBundleError for anything that `encodeTensorBundle` would not have written; reads nothing out of bounds. */
export function decodeTensorBundle(bundle: Uint8Array): TensorBundle {
  if (bundle.byteLength < 4) throw new TensorBundleError('truncated', 'The bundle has no header.')
  const headerBytes = new DataView(bundle.buffer, bundle.byteOffset).getUint32(0, true)
  if (headerBytes > maxHeaderBytes) throw new TensorBundleError('bad-header', `The header has ${headerBytes} bytes.`)
  if (4 + headerBytes > bundle.byteLength) throw new TensorBundleError('truncated', 'The bundle ends in its header.')
  const header = parseHeader(bundle.subarray(4, 4 + headerBytes))
  const body = bundle.subarray(4 + headerBytes)
  return { tensors: header.tensors.map((entry) => readTensor(entry, body)), meta: header.meta }
}

function parseHeader(bytes: Uint8Array): { tensors: unknown[]; meta: Record<string, unknown> } {
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw new TensorBundleError('bad-header', 'The header is not JSON.', cause)
  }
  if (!isRecord(header) || !Array.isArray(header.tensors) || !isRecord(header.meta)) {
    throw new TensorBundleError('bad-header', 'The header does not list tensors and meta.')
  }
  return { tensors: header.tensors, meta: header.meta }
}

function readTensor(entry: unknown, body: Uint8Array): NamedArray {
  if (!isRecord(entry)) throw new TensorBundleError('bad-tensor', 'A tensor is not described.')
  const { name, dtype, shape, offset, bytes } = entry
  const described =
    typeof name === 'string' &&
    typeof dtype === 'string' &&
    isArrayDtype(dtype) &&
    Array.isArray(shape) &&
    shape.every(isSize) &&
    isSize(offset) &&
    isSize(bytes)
  if (!described) throw new TensorBundleError('bad-tensor', `Tensor ${JSON.stringify(name)} is not well described.`)
  if (bytes !== elementsOf(shape) * bytesPerElement(dtype as ArrayDtype)) {
    throw new TensorBundleError('bad-tensor', `Tensor ${name} has ${bytes} bytes, which do not fit [${shape}].`)
  }
  if (offset + bytes > body.byteLength) throw new TensorBundleError('truncated', `Tensor ${name} lies beyond the end.`)
  return { name, dtype, shape, data: arrayFromBytes(dtype, body.subarray(offset, offset + bytes)) }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
