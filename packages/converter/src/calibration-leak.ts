import { createHash } from 'node:crypto'
import { elementsOf, isArrayDtype, type NamedArray, rows, toNumbers } from './array.ts'
import { NpzError, readNpz } from './npz.ts'

/**
 * Numbers of the samples that are not among the calibration data: a variant fits what it was calibrated with, so that
 * such a sample proves less than it seems to. Calibration data that is no .npz of these inputs (images become tensors
 * only in the converter) is not looked into.
 */
export async function heldOutSamples(samples: readonly NamedArray[], calibrationPath: string): Promise<number[]> {
  const all = Array.from({ length: samples[0]?.shape[0] ?? 0 }, (_, index) => index)
  const calibration = await readArrays(calibrationPath)
  const same = samples.map(({ name }) => calibration?.get(name))
  if (calibration === undefined || !same.every((array) => array !== undefined)) return all
  const seen = new Set(Array.from({ length: same[0]?.shape[0] ?? 0 }, (_, index) => hashOf(same, index)))
  return all.filter((index) => !seen.has(hashOf(samples, index)))
}

async function readArrays(path: string): Promise<Map<string, NamedArray> | undefined> {
  try {
    return await readNpz(path)
  } catch (error) {
    // The converter read it: a zip of images, or numbers in an order that only numpy knows.
    if (error instanceof NpzError) return undefined
    throw error
  }
}

/** Of one sample's values in every input, whatever the precision in which they were sent. */
function hashOf(arrays: readonly NamedArray[], index: number): string {
  const hash = createHash('sha256')
  for (const array of arrays) {
    const width = elementsOf(array.shape.slice(1))
    if (!isArrayDtype(array.dtype) || (index + 1) * width > array.data.length) return ''
    hash.update(Float32Array.from(toNumbers(array.dtype, rows(array, index, index + 1))))
  }
  return hash.digest('base64')
}
