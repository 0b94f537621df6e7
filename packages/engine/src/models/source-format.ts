import type { BlobPart } from '@skerry/blobs'
import { SkerryError, type SourceFormat } from '@skerry/contracts'

const EOCD_BYTES = 22
/** A zip's comment is at most 64 KiB, so its end record lies within this many bytes of the end. */
const TAIL_BYTES = 65_536 + EOCD_BYTES
const HDF5_MAGIC = '894844460d0a1a0a'

const FORMAT_NAMES: Record<SourceFormat, string> = {
  keras: 'a .keras archive',
  h5: 'an HDF5 file',
  savedmodel: 'a SavedModel archive (zip or tar.gz)',
  tflite: 'a .tflite file'
}

async function readRange(part: BlobPart, start: number, end: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of part.read({ start, end })) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}

/** Names in a zip's central directory, null when the file has no whole one (it is cut, or no zip at all). */
async function zipEntries(part: BlobPart): Promise<string[] | null> {
  const tailStart = Math.max(0, part.bytes - TAIL_BYTES)
  const tail = await readRange(part, tailStart, part.bytes - 1)
  const at = tail.lastIndexOf(Buffer.from('504b0506', 'hex'))
  if (at < 0 || at + EOCD_BYTES > tail.length) return null
  const size = tail.readUInt32LE(at + 12)
  const offset = tail.readUInt32LE(at + 16)
  if (size > 16 * 1024 * 1024 || offset + size > tailStart + at) return null
  const directory = size === 0 ? Buffer.alloc(0) : await readRange(part, offset, offset + size - 1)
  const names: string[] = []
  for (let p = 0; p + 46 <= directory.length; ) {
    if (directory.readUInt32LE(p) !== 0x02014b50) return null
    const nameBytes = directory.readUInt16LE(p + 28)
    names.push(directory.toString('utf8', p + 46, p + 46 + nameBytes))
    p += 46 + nameBytes + directory.readUInt16LE(p + 30) + directory.readUInt16LE(p + 32)
  }
  return names
}

type Sniffed = { format: SourceFormat } | { cut: SourceFormat } | null

async function sniff(part: BlobPart): Promise<Sniffed> {
  const head = await readRange(part, 0, Math.min(part.bytes, 64) - 1)
  if (head.toString('latin1', 4, 8) === 'TFL3') return { format: 'tflite' }
  if (head.toString('hex', 0, 8) === HDF5_MAGIC) return { format: 'h5' }
  if (head.toString('hex', 0, 2) === '1f8b') return { format: 'savedmodel' }
  if (head.toString('latin1', 0, 2) !== 'PK') return null
  const names = await zipEntries(part)
  if (names === null) return { cut: 'keras' }
  if (names.includes('config.json') && names.some((name) => name.endsWith('.weights.h5'))) return { format: 'keras' }
  if (names.some((name) => /(^|\/)saved_model\.pb$/.test(name))) return { format: 'savedmodel' }
  return null
}

/**
 * Looks at a source's outermost structure: enough to refuse at once what cannot be a model of this format. Whether it
 * loads is for the converter to find out. Throws `not-a-model` or `wrong-format`.
 */
export async function checkSourceFormat(part: BlobPart, format: SourceFormat): Promise<void> {
  const found = part.bytes === 0 ? null : await sniff(part)
  if (found === null)
    throw new SkerryError(
      'not-a-model',
      `The ${part.bytes} bytes are no .keras archive, HDF5 file, SavedModel archive or .tflite file`
    )
  if ('cut' in found)
    throw new SkerryError('not-a-model', 'The archive is cut short: its end is missing. Upload it again')
  if (found.format !== format)
    throw new SkerryError(
      'wrong-format',
      `The file is ${FORMAT_NAMES[found.format]}: upload it with ?format=${found.format}, not ${format}`
    )
}
