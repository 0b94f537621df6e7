import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import type { NamedArray } from './array.ts'
import { ConversionError } from './conversion-error.ts'
import { checkPreprocessing } from './preprocessing.ts'
import { TensorBundleError } from './tensor-bundle.ts'
import type { Preprocessing } from './types.ts'

/** The encoded image (as it was uploaded) that the preprocessing makes into golden input `index`. */
export type GoldenImage = { index: number; bytes: Uint8Array<ArrayBuffer> }

export type GoldenImages = { images?: GoldenImage[]; preprocessing?: Preprocessing }

// Every device loads its goldens: these are what a small photo takes, and how many are carried whatever they take.
const smallBytes = 64 << 10
const minimumImages = 4

/** Numbers of the samples whose encoded images the converter kept in `folder` (images.py, write_images), ascending. */
export async function samplesWithImages(folder: string): Promise<number[]> {
  const names = await readdir(folder)
  return names.map(Number).sort((a, b) => a - b)
}

/**
 * The encoded images of the samples that became golden inputs: the small ones, and where those are fewer than four, the
 * smallest four.
 *
 * @param golden numbers of the samples, in the order of the golden inputs.
 */
export async function readGoldenImages(folder: string, golden: readonly number[]): Promise<GoldenImage[]> {
  const kept = new Set(await samplesWithImages(folder))
  const found: GoldenImage[] = []
  for (const [index, sample] of golden.entries()) {
    if (!kept.has(sample)) continue
    found.push({ index, bytes: new Uint8Array(await readFile(path.join(folder, String(sample)))) })
  }
  const bySize = found.toSorted((a, b) => a.bytes.length - b.bytes.length)
  const chosen = bySize.filter(({ bytes }, at) => at < minimumImages || bytes.length <= smallBytes)
  return chosen.sort((a, b) => a.index - b.index)
}

/** Images as tensors that stand behind the golden inputs, and what says so in the bundle's meta. */
export function packImages({ images = [], preprocessing }: GoldenImages): {
  tensors: NamedArray[]
  meta: Record<string, unknown>
} {
  return {
    tensors: images.map(({ index, bytes }) => ({
      name: `image/${index}`,
      dtype: 'uint8',
      shape: [bytes.length],
      data: bytes
    })),
    meta: {
      ...(images.length === 0 ? {} : { images: images.map(({ index }) => index) }),
      ...(preprocessing === undefined ? {} : { preprocessing })
    }
  }
}

/** @throws TensorBundleError where the bundle is not as `packImages` makes it. */
export function unpackImages(
  tensors: readonly NamedArray[],
  meta: Record<string, unknown>
): GoldenImages & { inputs: NamedArray[] } {
  const indices: unknown = meta.images ?? []
  if (!Array.isArray(indices) || indices.length > tensors.length) throw damaged('does not say which images it holds')
  // By place and not by name: an input may be called like an image.
  const inputs = tensors.slice(0, tensors.length - indices.length)
  const count = inputs[0]?.shape[0] ?? 0
  const images = tensors.slice(inputs.length).map(({ dtype, shape, data }, at) => {
    const index: unknown = indices[at]
    const named = typeof index === 'number' && Number.isInteger(index) && index >= 0 && index < count
    const repeated = indices.indexOf(index) !== at
    if (!named || repeated) throw damaged(`names golden input ${JSON.stringify(index)} for an image`)
    if (dtype !== 'uint8' || shape.length !== 1) throw damaged(`holds an image of ${dtype}`)
    return { index, bytes: data as Uint8Array<ArrayBuffer> }
  })
  return {
    inputs,
    ...(images.length === 0 ? {} : { images }),
    ...(meta.preprocessing === undefined ? {} : { preprocessing: readPreprocessing(meta.preprocessing) })
  }
}

function readPreprocessing(value: unknown): Preprocessing {
  try {
    return checkPreprocessing(value)
  } catch (cause) {
    if (!(cause instanceof ConversionError)) throw cause
    throw new TensorBundleError('bad-header', cause.message, cause)
  }
}

const damaged = (how: string) => new TensorBundleError('bad-header', `The bundle of golden inputs ${how}.`)
