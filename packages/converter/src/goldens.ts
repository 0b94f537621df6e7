import { type ArrayDtype, elementsOf, type NamedArray, rows, toNumbers } from './array.ts'
import { type GoldenImages, packImages, unpackImages } from './golden-images.ts'
import { decodeTensorBundle, encodeTensorBundle, TensorBundleError } from './tensor-bundle.ts'

/** Inputs whose answers a variant must repeat wherever it runs, before it is served there. */
export const GOLDEN_COUNT = 8

/**
 * One [count, ...] tensor per input of the original model, in its dtypes. Where the data came as images, some of the
 * encoded images beside them, and how they became these tensors: so that a device can check its own way to them.
 */
export type GoldenInputs = { count: number; tensors: NamedArray[] } & GoldenImages

export type GoldenOutput = {
  name: string
  /** What callers get, dequantized: [count, ...]. */
  values: NamedArray
  /** What the file's own tensor holds, where that is quantized: the same shape. */
  stored?: { values: NamedArray; scale: number; zeroPoint: number }
}

/** What a variant itself answered to the golden inputs on the machine that converted it. */
export type GoldenOutputs = {
  variant: string
  runtime: string
  version: string
  count: number
  outputs: GoldenOutput[]
}

export function encodeGoldenInputs(inputs: GoldenInputs): Buffer {
  const { tensors, meta } = packImages(inputs)
  return encodeTensorBundle([...inputs.tensors, ...tensors], { golden: 'inputs', ...meta })
}

/** @throws TensorBundleError */
export function decodeGoldenInputs(bundle: Uint8Array): GoldenInputs {
  const { tensors, meta } = decodeTensorBundle(bundle)
  if (meta.golden !== 'inputs') throw new TensorBundleError('bad-header', 'The bundle does not hold golden inputs.')
  const { inputs, ...images } = unpackImages(tensors, meta)
  return { count: countOf(inputs), tensors: inputs, ...images }
}

/** The golden input at `index`, as a runtime session takes it. */
export function goldenInput({ tensors }: GoldenInputs, index: number): Map<string, NamedArray['data']> {
  return new Map(tensors.map((tensor) => [tensor.name, rows(tensor, index, index + 1)]))
}

export function encodeGoldenOutputs({ variant, runtime, version, outputs }: GoldenOutputs): Buffer {
  const tensors = outputs.flatMap(({ values, stored }, index) => [
    { ...values, name: `values/${index}` },
    ...(stored === undefined ? [] : [{ ...stored.values, name: `stored/${index}` }])
  ])
  const described = outputs.map(({ name, stored }) => ({
    name,
    ...(stored === undefined ? {} : { quantization: { scale: stored.scale, zeroPoint: stored.zeroPoint } })
  }))
  return encodeTensorBundle(tensors, { golden: 'outputs', variant, runtime, version, outputs: described })
}

type GoldenOutputsMeta = {
  golden?: string
  variant?: string
  runtime?: string
  version?: string
  outputs?: { name: string; quantization?: { scale: number; zeroPoint: number } }[]
}

/** @throws TensorBundleError */
export function decodeGoldenOutputs(bundle: Uint8Array): GoldenOutputs {
  const { tensors, meta } = decodeTensorBundle(bundle)
  const { golden, variant, runtime, version, outputs } = meta as GoldenOutputsMeta
  const complete = golden === 'outputs' && typeof variant === 'string' && Array.isArray(outputs)
  if (!complete) throw new TensorBundleError('bad-header', 'The bundle does not hold golden outputs.')
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  return {
    variant,
    runtime: runtime ?? 'unknown',
    version: version ?? 'unknown',
    count: countOf(tensors),
    outputs: outputs.map(({ name, quantization }, index) => {
      const values = byName.get(`values/${index}`)
      const stored = byName.get(`stored/${index}`)
      if (values === undefined) throw new TensorBundleError('bad-header', `The bundle has no values of output ${name}.`)
      const named = { ...values, name }
      if (stored === undefined || quantization === undefined) return { name, values: named }
      return { name, values: named, stored: { values: { ...stored, name }, ...quantization } }
    })
  }
}

function countOf(tensors: readonly NamedArray[]): number {
  const count = tensors[0]?.shape[0] ?? 0
  if (count < 1 || tensors.some(({ shape }) => shape[0] !== count)) {
    throw new TensorBundleError('bad-header', 'The golden tensors do not hold the same number of samples.')
  }
  return count
}

/**
 * Picks samples whose reference outputs lie far apart: the first is the one furthest from the mean, each next the one
 * furthest from all that were picked. Samples with equal outputs would let a runtime pass that ignores its input.
 *
 * @param outputs one [samples, ...] array per output.
 * @param among numbers of the samples to pick from, such as those whose images are at hand. Default: all.
 * @returns at most `count` sample numbers, in ascending order.
 */
export function pickGoldenSamples(
  outputs: readonly NamedArray[],
  count: number = GOLDEN_COUNT,
  among?: readonly number[]
): number[] {
  const samples = outputs[0]?.shape[0] ?? 0
  const candidates = among ?? Array.from({ length: samples }, (_, index) => index)
  const points = normalizedPoints(outputs, samples)
  const distance = (a: number, b: Float64Array) =>
    (points[a] as Float64Array).reduce((sum, value, at) => sum + (value - (b[at] as number)) ** 2, 0)
  const nearest = points.map((_, index) => distance(index, new Float64Array(points[0]?.length ?? 0)))
  const picked: number[] = []
  while (picked.length < Math.min(count, candidates.length)) {
    let next = -1
    for (const index of candidates) {
      if (picked.includes(index)) continue
      if (next < 0 || (nearest[index] as number) > (nearest[next] as number)) next = index
    }
    const point = points[next] as Float64Array
    // The distance to the mean served for the first pick only.
    for (let index = 0; index < samples; index++) {
      const toPicked = distance(index, point)
      nearest[index] = picked.length === 0 ? toPicked : Math.min(nearest[index] as number, toPicked)
    }
    picked.push(next)
  }
  return picked.sort((a, b) => a - b)
}

// A few hundred elements tell samples apart as well as a whole picture does.
const maxElementsPerOutput = 256

/** Per sample a point: the first elements of each output, each output centred and scaled to the same spread. */
function normalizedPoints(outputs: readonly NamedArray[], samples: number): Float64Array[] {
  const parts = outputs.map((output) => {
    const elements = elementsOf(output.shape.slice(1))
    const kept = Math.min(elements, maxElementsPerOutput)
    const points = Array.from({ length: samples }, (_, index) => {
      const from = index * elements
      return toNumbers(output.dtype, output.data.slice(from, from + kept))
    })
    for (let at = 0; at < kept; at++) {
      const mean = points.reduce((sum, point) => sum + (point[at] as number), 0) / samples
      for (const point of points) point[at] = (point[at] as number) - mean
    }
    const spread = Math.sqrt(points.reduce((sum, point) => sum + point.reduce((s, v) => s + v * v, 0), 0)) || 1
    return points.map((point) => point.map((value) => (Number.isFinite(value) ? value / spread : 0)))
  })
  return Array.from({ length: samples }, (_, index) =>
    Float64Array.from(parts.flatMap((part) => [...(part[index] ?? [])]))
  )
}

/** `xnnpack`: the kernels that made the goldens; `reference`: kernels without it, which round otherwise. */
export type KernelKind = 'xnnpack' | 'reference'

export type GoldenTolerance = { unit: 'absolute' | 'lsb'; value: number }

const quantizedLsb: Record<KernelKind, number> = { xnnpack: 2, reference: 8 }
// Measured between machines and kernels: float under 1e-6, dynamic int8 .01 to .035 through quantized activations.
const floatAbsolute = 1e-4
const quantizedInsideAbsolute = 0.05

/**
 * How far a device's answer may be from the golden one, in steps of the output's own quantization where it has one.
 * It is far tighter than what conversion may lose: a broken kernel must not hide in quantization error.
 */
export function goldenTolerance(variant: string, quantized: boolean, kernels: KernelKind): GoldenTolerance {
  if (quantized) return { unit: 'lsb', value: quantizedLsb[kernels] }
  const float = variant === 'float32' || variant === 'float16'
  return { unit: 'absolute', value: float ? floatAbsolute : quantizedInsideAbsolute }
}

export type GoldenDifference = {
  name: string
  /** In the tolerance's unit; NaN where the answer is not comparable. Absolute errors count from a magnitude of 1 on relative to it. */
  difference: number
  tolerance: GoldenTolerance
  passed: boolean
}

/**
 * Compares what a device answered to golden input `index`, dequantized and under the original's output names.
 * A missing output, another size, or NaN does not pass.
 */
export function compareGolden(
  golden: GoldenOutputs,
  index: number,
  actual: ReadonlyMap<string, { dtype: string; data: NamedArray['data'] }>,
  options: { kernels: KernelKind }
): { passed: boolean; outputs: GoldenDifference[] } {
  const outputs = golden.outputs.map(({ name, values, stored }) => {
    const tolerance = goldenTolerance(golden.variant, stored !== undefined, options.kernels)
    const answer = actual.get(name)
    const expected = toNumbers(values.dtype, rows(values, index, index + 1))
    const unit =
      stored?.scale ??
      Math.max(
        1,
        expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
      )
    const found = answer === undefined ? undefined : toNumbers(answer.dtype as ArrayDtype, answer.data)
    const largest = found?.length === expected.length ? largestDifference(expected, found) : Number.NaN
    const difference = stored === undefined ? largest / unit : Math.round(largest / unit)
    return { name, difference, tolerance, passed: difference <= tolerance.value }
  })
  return { passed: outputs.every(({ passed }) => passed), outputs }
}

function largestDifference(expected: Float64Array, actual: Float64Array): number {
  // An original may answer NaN or infinity itself; the same is no difference.
  return expected.reduce(
    (most, value, at) =>
      Object.is(value, actual[at]) ? most : Math.max(most, Math.abs(value - (actual[at] as number))),
    0
  )
}
