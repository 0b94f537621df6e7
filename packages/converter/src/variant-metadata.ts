import { readStandardMetadata, readTfliteMetadata, type StandardMetadata, TfliteFormatError } from '@skerry/tflite'
import type { VariantMetadata } from './types.ts'
import { ZipError, ZipReader } from './zip.ts'

const maxLabelBytes = 4 << 20

/**
 * What a .tflite file says about itself: TFLite's own metadata, whoever wrote it, and the entry SKERRY
 * (python/skerry_converter/metadata.py). What of it is damaged is left out, since a runtime reads none of it.
 *
 * @param content the bytes of the file at `path`.
 */
export async function readVariantMetadata(path: string, content: Uint8Array): Promise<VariantMetadata | undefined> {
  const entries = unlessDamaged(() => readTfliteMetadata(content)) ?? new Map<string, Uint8Array>()
  const entry = entries.get('TFLITE_METADATA')
  const standard = entry === undefined ? undefined : unlessDamaged(() => readStandardMetadata(entry))
  const skerry = readOwn(entries.get('SKERRY'))
  const normalization = standard === undefined ? undefined : firstNormalization(standard)
  const labels = standard === undefined ? undefined : await readLabels(path, standard)
  if (labels === undefined && normalization === undefined && skerry === undefined) return undefined
  return {
    ...(labels === undefined ? {} : { labels }),
    ...(normalization === undefined ? {} : { normalization }),
    ...(skerry === undefined ? {} : { skerry })
  }
}

function firstNormalization({ inputs }: StandardMetadata): VariantMetadata['normalization'] {
  const [found] = inputs.flatMap(({ name, normalization }) => {
    return normalization === undefined ? [] : [{ input: name, ...normalization }]
  })
  return found
}

async function readLabels(path: string, { outputs }: StandardMetadata): Promise<string[] | undefined> {
  const name = outputs.find(({ labelFiles }) => labelFiles.length > 0)?.labelFiles[0]
  if (name === undefined) return undefined
  try {
    const archive = await ZipReader.open(path)
    try {
      const entry = archive.entries.find((each) => each.name === name)
      if (entry === undefined) return undefined
      const text = (await archive.read(entry, maxLabelBytes)).toString('utf8')
      return text.replace(/\r?\n$/, '').split(/\r?\n/)
    } finally {
      await archive.close()
    }
  } catch (error) {
    if (error instanceof ZipError) return undefined
    throw error
  }
}

function readOwn(entry: Uint8Array | undefined): VariantMetadata['skerry'] {
  if (entry === undefined) return undefined
  const value = parseJson(new TextDecoder().decode(entry))
  if (typeof value !== 'object' || value === null) return undefined
  const { recipe, sourceSha256, versions } = value as Record<string, unknown>
  if (typeof recipe !== 'string' || typeof sourceSha256 !== 'string') return undefined
  const pairs = typeof versions === 'object' && versions !== null ? Object.entries(versions) : []
  const known = pairs.filter((pair): pair is [string, string] => typeof pair[1] === 'string')
  return { recipe, sourceSha256, versions: Object.fromEntries(known) }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof TfliteFormatError) return undefined
    throw error
  }
}
