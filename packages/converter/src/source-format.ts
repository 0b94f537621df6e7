import { createReadStream } from 'node:fs'
import { open, readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import zlib from 'node:zlib'
import { ConversionError } from './conversion-error.ts'
import { isTar, TarNames } from './tar-names.ts'
import type { SourceFormat } from './types.ts'
import { ZipError, ZipReader } from './zip.ts'

const headBytes = 512
const maxModelJsonBytes = 256 << 20

const descriptions: Record<SourceFormat, string> = {
  keras: 'a Keras file (.keras)',
  h5: 'an HDF5 file (.h5)',
  savedmodel: 'a SavedModel',
  tfjs: 'a TensorFlow.js model',
  tflite: 'a TFLite file'
}

/**
 * Tells by its structure what kind of model a file or folder is, without running any of it and before a converter is
 * started. It may still turn out to be damaged inside. Folders hold a SavedModel or a TensorFlow.js model, whose
 * model.json may also be named itself.
 *
 * @throws ConversionError `not-a-model` for anything else, truncated archives among it.
 */
export async function detectSourceFormat(target: string): Promise<SourceFormat> {
  if ((await stat(target)).isDirectory()) return detectByNames(await readdir(target), 'folder')
  const head = await readHead(target)
  if (head.length === 0) throw new ConversionError('not-a-model', 'The file is empty.')
  if (head.toString('latin1', 4, 8) === 'TFL3') return 'tflite'
  if (head.subarray(0, 8).equals(Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'))) return 'h5'
  if (isTar(head) || head.readUInt16BE(0) === 0x1f8b)
    return detectByNames(await tarNames(target, isTar(head)), 'archive')
  if (/^\s*\{/.test(head.toString('latin1'))) return detectModelJson(target)
  return detectByNames(await zipNames(target), 'archive')
}

/** @throws ConversionError `not-a-model`, or `wrong-format` with the format that the file seems to have. */
export async function checkSourceFormat(target: string, format: SourceFormat): Promise<void> {
  const found = await detectSourceFormat(target)
  if (found === format) return
  const advice = `send it with format ${found}`
  throw new ConversionError(
    'wrong-format',
    `The file is ${descriptions[found]}, not ${descriptions[format]}: ${advice}.`
  )
}

/**
 * The files that a source consists of: itself, except for a TensorFlow.js model that is named by its model.json, whose
 * weights lie beside it. Such a path that leads elsewhere is left to the converter, which refuses it.
 */
export async function sourceFiles(target: string, format: SourceFormat): Promise<string[]> {
  if (format !== 'tfjs' || !/^\s*\{/.test((await readHead(target)).toString('latin1'))) return [target]
  const groups: unknown = (await readModelJson(target)).weightsManifest
  const paths = (Array.isArray(groups) ? groups : []).flatMap((group: { paths?: unknown }) =>
    Array.isArray(group?.paths) ? group.paths : []
  )
  const inside = paths.filter((name): name is string => typeof name === 'string' && /^[^/\\]+$/.test(name))
  return [target, ...inside.map((name) => path.join(path.dirname(target), name))]
}

/** In the order in which the converter looks for them. */
function detectByNames(names: readonly string[], kind: 'archive' | 'folder'): SourceFormat {
  const holds = (file: string) => names.some((name) => name === file || name.endsWith(`/${file}`))
  if (holds('saved_model.pb')) return 'savedmodel'
  if (kind === 'archive' && names.includes('config.json') && names.includes('metadata.json')) return 'keras'
  if (holds('model.json')) return 'tfjs'
  const keras = kind === 'archive' ? 'a Keras model, ' : ''
  throw new ConversionError(
    'not-a-model',
    `The ${kind} holds no model: neither ${keras}a saved_model.pb nor a model.json of TensorFlow.js.`
  )
}

async function zipNames(file: string): Promise<string[]> {
  let zip: ZipReader
  try {
    zip = await ZipReader.open(file)
  } catch (cause) {
    if (!(cause instanceof ZipError)) throw cause
    const words = cause.code === 'not-a-zip' ? 'The file is none of the known kinds of model.' : cause.message
    throw new ConversionError('not-a-model', words, { cause })
  }
  await zip.close()
  return zip.entries.map(({ name }) => name)
}

/** Reads on only until it is known. */
async function tarNames(file: string, plain: boolean): Promise<string[]> {
  const found = new TarNames()
  const enough = new AbortController()
  const collect = async (chunks: AsyncIterable<Buffer>) => {
    let seen = 0
    for await (const chunk of chunks) {
      found.add(chunk)
      const isKnown = found.names.slice(seen).some((name) => /(^|\/)saved_model\.pb$/.test(name))
      seen = found.names.length
      if (isKnown || !found.open) enough.abort()
    }
  }
  const stream = createReadStream(file, { highWaterMark: 1 << 16 })
  try {
    if (plain) await pipeline(stream, collect, { signal: enough.signal })
    else await pipeline(stream, zlib.createGunzip(), collect, { signal: enough.signal })
  } catch (cause) {
    if (!enough.signal.aborted) throw new ConversionError('not-a-model', 'The gzip archive is damaged.', { cause })
  }
  if (found.names.length === 0)
    throw new ConversionError('not-a-model', 'The file is none of the known kinds of model.')
  return found.names
}

async function detectModelJson(file: string): Promise<SourceFormat> {
  const { modelTopology } = await readModelJson(file)
  if (typeof modelTopology === 'object' && modelTopology !== null) return 'tfjs'
  throw new ConversionError('not-a-model', 'The JSON file has no modelTopology: it is no TensorFlow.js model.')
}

async function readModelJson(file: string): Promise<Record<string, unknown>> {
  if ((await stat(file)).size > maxModelJsonBytes)
    throw new ConversionError('not-a-model', 'The JSON file is too large.')
  try {
    const parsed: unknown = JSON.parse(await readFile(file, 'utf8'))
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {}
  } catch (cause) {
    throw new ConversionError('not-a-model', 'The file is none of the known kinds of model.', { cause })
  }
}

async function readHead(target: string): Promise<Buffer> {
  const file = await open(target, 'r')
  try {
    if ((await file.stat()).isDirectory()) return Buffer.alloc(0)
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0)
    // Padded, so that a short file can be looked at like any other.
    return bytesRead === 0 ? Buffer.alloc(0) : buffer
  } finally {
    await file.close()
  }
}
