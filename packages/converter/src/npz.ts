import { type FileHandle, open } from 'node:fs/promises'
import zlib from 'node:zlib'
import { type ArrayDtype, arrayFromBytes, bytesOf, bytesPerElement, elementsOf, type NamedArray } from './array.ts'
import { ZipError, ZipReader } from './zip.ts'

export type NpzErrorCode = 'not-an-npz' | 'truncated' | 'unsupported' | 'corrupt' | 'too-large'

export class NpzError extends Error {
  override readonly name = 'NpzError'
  readonly code: NpzErrorCode
  constructor(code: NpzErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

const dtypes: Readonly<Record<string, ArrayDtype>> = {
  '|b1': 'bool',
  '|u1': 'uint8',
  '<u2': 'uint16',
  '<u4': 'uint32',
  '<u8': 'uint64',
  '|i1': 'int8',
  '<i2': 'int16',
  '<i4': 'int32',
  '<i8': 'int64',
  '<f2': 'float16',
  '<f4': 'float32',
  '<f8': 'float64'
}

const descriptors = Object.fromEntries(Object.entries(dtypes).map(([descriptor, dtype]) => [dtype, descriptor]))

const defaultMaxBytes = 2 ** 31

/**
 * All arrays of an .npz file (numpy.savez and savez_compressed), by name. Little-endian numbers and booleans in C order.
 *
 * @throws NpzError for anything else, and where one array has more than `maxBytes` (default 2 GiB).
 */
export async function readNpz(path: string, options: { maxBytes?: number } = {}): Promise<Map<string, NamedArray>> {
  try {
    const zip = await ZipReader.open(path)
    try {
      const arrays = new Map<string, NamedArray>()
      for (const entry of zip.entries) {
        if (!entry.name.endsWith('.npy')) throw new NpzError('not-an-npz', `The archive holds ${entry.name}.`)
        const name = entry.name.slice(0, -'.npy'.length)
        if (arrays.has(name)) throw new NpzError('corrupt', `The archive holds ${entry.name} twice.`)
        arrays.set(name, parseNpy(name, await zip.read(entry, options.maxBytes ?? defaultMaxBytes)))
      }
      return arrays
    } finally {
      await zip.close()
    }
  } catch (error) {
    if (!(error instanceof ZipError)) throw error
    throw new NpzError(error.code === 'not-a-zip' ? 'not-an-npz' : error.code, error.message, error)
  }
}

/** numpy's format 1.0 and 2.0: magic, version, header length, a Python dictionary, the elements. */
function parseNpy(name: string, content: Buffer): NamedArray {
  if (content.length < 12 || content.toString('latin1', 0, 6) !== '\x93NUMPY') {
    throw new NpzError('not-an-npz', `${name} is not a numpy array.`)
  }
  const major = content.readUInt8(6)
  if (major !== 1 && major !== 2) throw new NpzError('unsupported', `${name} has numpy format ${major}.`)
  const headerStart = major === 1 ? 10 : 12
  const headerEnd = headerStart + (major === 1 ? content.readUInt16LE(8) : content.readUInt32LE(8))
  if (headerEnd > content.length) throw new NpzError('truncated', `${name} ends within its header.`)
  const header = content.toString('latin1', headerStart, headerEnd)

  const descriptor = /'descr':\s*'([^']*)'/.exec(header)?.[1]
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1]
  const dimensions = /'shape':\s*\(([\d,\s]*)\)/.exec(header)?.[1]
  if (order === undefined || dimensions === undefined) throw new NpzError('corrupt', `${name} has a damaged header.`)
  const dtype = descriptor === undefined ? undefined : dtypes[descriptor]
  if (dtype === undefined) throw new NpzError('unsupported', `${name} has dtype ${descriptor ?? 'of several fields'}.`)
  const shape = dimensions.split(',').flatMap((text) => (text.trim() === '' ? [] : [Number(text)]))
  if (order === 'True' && shape.length > 1) throw new NpzError('unsupported', `${name} is in Fortran order.`)

  const bytes = elementsOf(shape) * bytesPerElement(dtype)
  if (bytes !== content.length - headerEnd) {
    throw new NpzError(
      'corrupt',
      `${name} has ${content.length - headerEnd} bytes of elements, its shape says ${bytes}.`
    )
  }
  return { name, dtype, shape, data: arrayFromBytes(dtype, content.subarray(headerEnd)) }
}

/** Writes an uncompressed .npz that numpy.load reads. Each array stays under 4 GiB. */
export async function writeNpz(path: string, arrays: readonly NamedArray[]): Promise<void> {
  const file = await open(path, 'w')
  try {
    const directory: Buffer[] = []
    let offset = 0
    for (const array of arrays) {
      const { header, crc, bytes } = npyHeader(array)
      const name = Buffer.from(`${array.name}.npy`)
      const fixed = Buffer.alloc(26)
      fixed.writeUInt16LE(20, 0)
      fixed.writeUInt32LE(0x00210000, 6)
      fixed.writeUInt32LE(crc, 10)
      fixed.writeUInt32LE(bytes, 14)
      fixed.writeUInt32LE(bytes, 18)
      fixed.writeUInt16LE(name.length, 22)
      const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fixed, name, header])
      const central = Buffer.alloc(14)
      central.writeUInt32LE(offset, 10)
      directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fixed, central, name]))
      await writeAll(file, local)
      await writeAll(file, bytesOf(array.data))
      offset += local.length + array.data.byteLength
    }
    const entries = Buffer.concat(directory)
    const end = Buffer.alloc(22)
    end.write('PK\x05\x06', 'latin1')
    end.writeUInt16LE(arrays.length, 8)
    end.writeUInt16LE(arrays.length, 10)
    end.writeUInt32LE(entries.length, 12)
    end.writeUInt32LE(offset, 16)
    await writeAll(file, Buffer.concat([entries, end]))
  } finally {
    await file.close()
  }
}

function npyHeader({ dtype, shape, data }: NamedArray): { header: Buffer; crc: number; bytes: number } {
  const dimensions = shape.length === 1 ? `${shape[0]},` : shape.join(', ')
  const text = `{'descr': '${descriptors[dtype]}', 'fortran_order': False, 'shape': (${dimensions}), }`
  // numpy aligns the elements to 64 bytes.
  const padded = `${text}${' '.repeat(63 - ((10 + text.length) % 64))}\n`
  const header = Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), Buffer.alloc(2), Buffer.from(padded)])
  header.writeUInt16LE(padded.length, 8)
  const elements = bytesOf(data)
  return { header, crc: zlib.crc32(elements, zlib.crc32(header)), bytes: header.length + elements.length }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0
  while (written < bytes.length) written += (await file.write(bytes, written)).bytesWritten
}
