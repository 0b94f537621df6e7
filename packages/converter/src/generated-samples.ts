import { elementsOf, fromNumbers, isArrayDtype, type NamedArray } from './array.ts'
import { ConversionError } from './conversion-error.ts'
import type { TensorDescription } from './types.ts'

const sampleCount = 16

/**
 * Zeros, ones, minus ones, and repeatable noise in -1..1 for one input (0 and 1 for integers), [16, ...]. Open
 * dimensions count as 1. Such data finds what is broken and proves nothing.
 *
 * @throws ConversionError `input-mismatch` for types of which none are generated.
 */
export function generateSamples({ name, datatype, shape }: TensorDescription): NamedArray {
  const dtype = datatype.toLowerCase().replace(/^fp/, 'float')
  if (!isArrayDtype(dtype) || dtype === 'float16') {
    throw new ConversionError('input-mismatch', `Input ${name} is ${datatype}, which needs evaluation data.`)
  }
  const perSample = shape.slice(1).map((size) => Math.max(1, size))
  const width = elementsOf(perSample)
  const isFloat = dtype === 'float32' || dtype === 'float64'
  const values = new Float64Array(sampleCount * width)
  const random = mulberry32(width)
  for (let at = 0; at < values.length; at++) {
    const sample = Math.floor(at / width)
    const noise = isFloat ? random() * 2 - 1 : Math.round(random())
    values[at] = sample === 0 ? 0 : sample === 1 ? 1 : sample === 2 && isFloat ? -1 : noise
  }
  return { name, dtype, shape: [sampleCount, ...perSample], data: fromNumbers(dtype, values) }
}

/** A small generator with good enough bits for test data (Tommy Ettinger's mulberry32). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
