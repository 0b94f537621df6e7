import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import zlib from 'node:zlib'
import { ConversionError } from './conversion-error.ts'
import type { SourceFormat } from './types.ts'
import { ZipError, ZipReader } from './zip.ts'

const headBytes = 512
const tarMagicOffset = 257

const descriptions: Record<SourceFormat, string> = {
  keras: 'a Keras file (.keras)',
  h5: 'an HDF5 file (.h5)',
  savedmodel: 'an archive of a SavedModel',
  tflite: 'a TFLite file'
}

/**
 * Tells by its structure what kind of model a file is, without running any of it: in milliseconds, before a converter
 * is started. It may still turn out to be damaged inside.
 *
 * @throws ConversionError `not-a-model` for anything else, truncated archives among it.
 */
export async function detectSourceFormat(path: string): Promise<SourceFormat> {
  const head = await readHead(path)
  if (head.length === 0) throw new ConversionError('not-a-model', 'The file is empty.')
  if (head.toString('latin1', 4, 8) === 'TFL3') return 'tflite'
  if (head.subarray(0, 8).equals(Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'))) return 'h5'
  if (isTar(head) || (head.readUInt16BE(0) === 0x1f8b && isTar(await unpackedHead(path)))) return 'savedmodel'
  return detectZip(path)
}

/** @throws ConversionError `not-a-model`, or `wrong-format` with the format that the file seems to have. */
export async function checkSourceFormat(path: string, format: SourceFormat): Promise<void> {
  const found = await detectSourceFormat(path)
  if (found === format) return
  const advice = `send it with format ${found}`
  throw new ConversionError(
    'wrong-format',
    `The file is ${descriptions[found]}, not ${descriptions[format]}: ${advice}.`
  )
}

async function detectZip(path: string): Promise<SourceFormat> {
  let zip: ZipReader
  try {
    zip = await ZipReader.open(path)
  } catch (cause) {
    if (!(cause instanceof ZipError)) throw cause
    const words = cause.code === 'not-a-zip' ? 'The file is none of the known kinds of model.' : cause.message
    throw new ConversionError('not-a-model', words, { cause })
  }
  const names = zip.entries.map(({ name }) => name)
  await zip.close()
  if (names.some((name) => /(^|\/)saved_model\.pb$/.test(name))) return 'savedmodel'
  if (names.includes('config.json') && names.includes('metadata.json')) return 'keras'
  throw new ConversionError('not-a-model', 'The archive holds neither a Keras model nor a saved_model.pb.')
}

const isTar = (head: Buffer): boolean => head.toString('latin1', tarMagicOffset, tarMagicOffset + 5) === 'ustar'

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0)
    // Padded, so that a short file can be looked at like any other.
    return bytesRead === 0 ? Buffer.alloc(0) : buffer
  } finally {
    await file.close()
  }
}

/** The first bytes of a gzip file's content; what there is of them when the file is damaged. */
async function unpackedHead(path: string): Promise<Buffer> {
  const head = Buffer.alloc(headBytes)
  let filled = 0
  const enough = new AbortController()
  try {
    await pipeline(
      createReadStream(path, { highWaterMark: 4096 }),
      zlib.createGunzip(),
      async (chunks: AsyncIterable<Buffer>) => {
        for await (const chunk of chunks) {
          filled += chunk.copy(head, filled)
          if (filled === headBytes) enough.abort()
        }
      },
      { signal: enough.signal }
    )
  } catch (error) {
    // A damaged stream ends here too; whether enough of it was readable is decided by what was read.
    if (filled < headBytes) throw new ConversionError('not-a-model', 'The gzip archive is damaged.', { cause: error })
  }
  return head
}
