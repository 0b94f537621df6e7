import { writeFile } from 'node:fs/promises'
import { isQuantizedDtype, type QuantizedArray, quantize, type TensorSpec } from '@skerry/tflite'
import { type ArrayData, elementsOf, type NamedArray, rows } from './array.ts'
import { readGoldenImages } from './golden-images.ts'
import { encodeGoldenInputs, encodeGoldenOutputs, type GoldenOutput } from './goldens.ts'
import type { Trial } from './trial.ts'
import type { NameMap, Preprocessing } from './types.ts'

/**
 * Writes the samples that became golden inputs, and where they were images, some of those as they were uploaded.
 *
 * @param samples one [samples, ...] array per input.
 * @param from `folder` holds the images that the converter kept, each named by its sample's number.
 */
export async function writeGoldenInputs(
  path: string,
  samples: readonly NamedArray[],
  golden: readonly number[],
  from?: { folder: string; preprocessing: Preprocessing }
): Promise<void> {
  const tensors = samples.map((array) => pickRows(array, golden))
  const images =
    from === undefined ? {} : { images: await readGoldenImages(from.folder, golden), preprocessing: from.preprocessing }
  await writeFile(path, encodeGoldenInputs({ count: golden.length, tensors, ...images }))
}

/** Writes what a variant answered to the samples that became golden inputs. */
export async function writeGoldenOutputs(
  path: string,
  variant: string,
  runtime: { name: string; version: string },
  { loaded, outputs }: Trial,
  names: NameMap,
  golden: readonly number[]
): Promise<void> {
  const chosen: GoldenOutput[] = outputs.map((output) => {
    const values = pickRows(output, golden)
    const spec = loaded.outputs.find((each) => each.name === names.outputs[output.name])
    return { name: output.name, values, ...storedValues(values, spec) }
  })
  const { name, version } = runtime
  const bundle = { variant, runtime: name, version, count: golden.length, outputs: chosen }
  await writeFile(path, encodeGoldenOutputs(bundle))
}

/** The stored integers, which dequantized values determine exactly. */
function storedValues(values: NamedArray, spec: TensorSpec | undefined): Pick<GoldenOutput, 'stored'> {
  const q = spec?.quantization
  if (spec === undefined || q === undefined || !isQuantizedDtype(spec.dtype)) return {}
  const { dtype } = spec
  const quantizeAs = quantize as (reals: Float32Array, parameters: typeof q, to: typeof dtype) => QuantizedArray
  const data = quantizeAs(values.data as Float32Array, q, dtype) as ArrayData
  const stored = { name: values.name, dtype, shape: values.shape, data }
  return { stored: { values: stored, scale: q.scales[0] ?? 1, zeroPoint: q.zeroPoints[0] ?? 0 } }
}

/** The chosen samples of a [samples, ...] array, as an array of their own. */
export function pickRows(array: NamedArray, indices: readonly number[]): NamedArray {
  const width = elementsOf(array.shape.slice(1))
  const data = array.data.slice(0, indices.length * width)
  for (const [to, from] of indices.entries()) copyInto(data, rows(array, from, from + 1), to * width)
  return { ...array, shape: [indices.length, ...array.shape.slice(1)], data }
}

// Both are the same kind of array, which TypeScript cannot follow through the union.
const copyInto = (target: ArrayData, source: ArrayData, offset: number): void =>
  (target as Float64Array).set(source as Float64Array, offset)
