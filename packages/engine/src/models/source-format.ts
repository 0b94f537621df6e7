import type { BlobPart } from '@skerry/blobs'
import { SkerryError, type SourceFormat } from '@skerry/contracts'
import { zipNames } from './zip-names.ts'

const HDF5_MAGIC = '894844460d0a1a0a'
const HEAD_BYTES = 512
const TAR_MAGIC_OFFSET = 257

const FORMAT_NAMES: Record<SourceFormat, string> = {
  keras: 'a .keras archive',
  h5: 'an HDF5 file',
  savedmodel: 'a SavedModel archive (zip, tar or tar.gz)',
  tfjs: 'a TensorFlow.js archive (zip, tar or tar.gz)',
  tflite: 'a .tflite file'
}

/** The formats that the source can have by its structure; `cut` where it is an archive without its end. */
type Sniffed = { formats: readonly SourceFormat[] } | 'cut' | null

async function sniff(part: BlobPart): Promise<Sniffed> {
  const head = await readRange(part, 0, Math.min(part.bytes, HEAD_BYTES) - 1)
  if (head.toString('latin1', 4, 8) === 'TFL3') return { formats: ['tflite'] }
  if (head.toString('hex', 0, 8) === HDF5_MAGIC) return { formats: ['h5'] }
  // Which of the two it holds stands anywhere in it: the converter reads that.
  const isTar = head.toString('latin1', TAR_MAGIC_OFFSET, TAR_MAGIC_OFFSET + 5) === 'ustar'
  if (isTar || head.toString('hex', 0, 2) === '1f8b') return { formats: ['savedmodel', 'tfjs'] }
  if (head.toString('latin1', 0, 2) !== 'PK') return null
  const names = await zipNames(part.bytes, (start, end) => readRange(part, start, end))
  if (names === null) return 'cut'
  if (names.some((name) => /(^|\/)saved_model\.pb$/.test(name))) return { formats: ['savedmodel'] }
  if (names.includes('config.json') && names.includes('metadata.json')) return { formats: ['keras'] }
  if (names.some((name) => /(^|\/)model\.json$/.test(name))) return { formats: ['tfjs'] }
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
      `The ${part.bytes} bytes are no .keras archive, HDF5 file, archive of a SavedModel or a TensorFlow.js model, or .tflite file`
    )
  if (found === 'cut')
    throw new SkerryError('not-a-model', 'The archive is cut short: its end is missing. Upload it again')
  if (found.formats.includes(format)) return
  const names = found.formats.map((each) => FORMAT_NAMES[each]).join(' or ')
  throw new SkerryError(
    'wrong-format',
    `The file is ${names}: upload it with ?format=${found.formats.join(' or ')}, not ${format}`
  )
}

async function readRange(part: BlobPart, start: number, end: number): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of part.read({ start, end })) chunks.push(chunk as Uint8Array)
  return Buffer.concat(chunks)
}
