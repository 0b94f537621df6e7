import { type Labels, readLabels } from './accuracy.ts'
import { elementsOf, isArrayDtype, type NamedArray, toNumbers } from './array.ts'
import { heldOutSamples } from './calibration-leak.ts'
import { ConversionError } from './conversion-error.ts'
import { samplesWithImages } from './golden-images.ts'
import { GOLDEN_COUNT, pickGoldenSamples } from './goldens.ts'
import { readNpz } from './npz.ts'
import type { OutputSamples } from './parity.ts'
import type { Described, Exported } from './python-converter.ts'
import { MINIMUM_PROOF_SAMPLES } from './tolerances.ts'
import type { NameMap } from './types.ts'

/** Inputs, and the original's outputs for them in its order: one array [samples, ...] each. */
export type AnsweredSamples = { samples: NamedArray[]; reference: NamedArray[] }

/** What every variant of one model is compared with. */
export type Evidence = AnsweredSamples & {
  names: NameMap
  referenceName: string
  data: 'uploaded' | 'generated'
  /** Generated and edge inputs beside uploaded data; absent where `samples` are such themselves. */
  probes?: AnsweredSamples
  labels?: Labels
  /** Number of the output that the labels are of. */
  labelledOutput?: number
  /** Numbers of the samples that calibration did not see; absent: all. Only these are compared. */
  heldOut?: readonly number[]
  /** Why nothing is proven, however the comparison ends. */
  unproven?: string
  /** Numbers of the samples that became golden inputs. */
  golden: readonly number[]
}

/**
 * Reads what the converter wrote. `onWarning` is told what is left out, and why. `calibrationPath` is the data that the
 * variants were calibrated with: samples that are in it are not held out.
 */
export async function gatherEvidence(
  described: Described,
  exported: Exported & { probesPath?: string; probesReferencePath?: string; goldenImages?: string },
  onWarning: (message: string) => void,
  calibrationPath?: string
): Promise<Evidence> {
  const { names } = described
  const referenceName = `${described.reference.name} ${described.reference.version}`
  const text = [...described.inputs, ...described.outputs].find(({ dtype }) => !isArrayDtype(dtype))
  if (text !== undefined) {
    const unproven = `${text.name} is of type ${text.dtype}, which no runtime here takes: nothing was compared.`
    return { names, samples: [], reference: [], referenceName, data: exported.data, unproven, golden: [] }
  }
  const { arrays, ...answered } = await readAnswered(described, exported.samplesPath, exported.referencePath)
  const evidence: Evidence = {
    names,
    ...answered,
    referenceName,
    data: exported.data,
    golden: await pickGolden(answered.reference, exported.goldenImages)
  }
  const { probesPath, probesReferencePath } = exported
  if (probesPath !== undefined && probesReferencePath !== undefined) {
    const { samples, reference } = await readAnswered(described, probesPath, probesReferencePath)
    evidence.probes = { samples, reference }
  }
  Object.assign(evidence, await withoutCalibration(evidence, calibrationPath, onWarning))
  const y = arrays.get('y')
  if (y === undefined) return evidence
  const fitted = fitLabels(y, evidence.reference)
  if (typeof fitted !== 'string') return { ...evidence, ...fitted }
  onWarning(fitted)
  return evidence
}

/** A [samples, ...] array as the measures take it, sharing its memory where its elements are plain numbers. */
export function outputSamples({ dtype, shape, data }: NamedArray, integers = false): OutputSamples {
  const perSample = shape.slice(1)
  const plain = dtype !== 'float16' && dtype !== 'int64' && dtype !== 'uint64'
  return {
    elements: elementsOf(perSample),
    lastAxis: perSample.at(-1) ?? 1,
    values: plain ? (data as ArrayLike<number>) : toNumbers(dtype, data),
    ...(integers ? { integers } : {})
  }
}

/** Whether the original's own output is whole numbers, or true and false. */
export const holdsIntegers = ({ dtype }: NamedArray): boolean => !dtype.startsWith('float')

async function readAnswered(described: Described, samplesPath: string, referencePath: string) {
  const arrays = await readNpz(samplesPath)
  const outputs = await readNpz(referencePath)
  return {
    arrays,
    samples: described.inputs.map(({ name }) => tensorOf(arrays, name)),
    reference: described.outputs.map(({ name }) => tensorOf(outputs, name))
  }
}

/** Of samples that came as images those are chosen whose images were kept, as long as there are enough. */
async function pickGolden(reference: readonly NamedArray[], imageFolder: string | undefined): Promise<number[]> {
  const withImages = imageFolder === undefined ? [] : await samplesWithImages(imageFolder)
  if (withImages.length < GOLDEN_COUNT) return pickGoldenSamples(reference)
  return pickGoldenSamples(reference, GOLDEN_COUNT, withImages)
}

/** The labels are of the first output that they fit. */
function fitLabels(
  y: NamedArray,
  reference: readonly NamedArray[]
): Pick<Evidence, 'labels' | 'labelledOutput'> | string {
  const numbers = toNumbers(y.dtype, y.data)
  let reason = 'The labels are not used: the model has no output.'
  for (const [labelledOutput, output] of reference.entries()) {
    const labels = readLabels(numbers, y.shape, outputSamples(output, holdsIntegers(output)))
    if (typeof labels !== 'string') return { labels, labelledOutput }
    if (labelledOutput === 0) reason = labels
  }
  return reason
}

async function withoutCalibration(
  { samples, data }: Evidence,
  calibrationPath: string | undefined,
  onWarning: (message: string) => void
): Promise<Pick<Evidence, 'heldOut' | 'unproven'>> {
  if (calibrationPath === undefined || data === 'generated') return {}
  const heldOut = await heldOutSamples(samples, calibrationPath)
  const count = samples[0]?.shape[0] ?? 0
  if (heldOut.length === count) return {}
  const seen = `${count - heldOut.length} of the ${count} evaluation samples are calibration samples too`
  if (heldOut.length < MINIMUM_PROOF_SAMPLES) {
    const text = `at least ${MINIMUM_PROOF_SAMPLES} that calibration never saw prove something`
    return { unproven: `${seen}; ${text}.` }
  }
  onWarning(`${seen}: they are left out, and the other ${heldOut.length} compared.`)
  return { heldOut }
}

function tensorOf(arrays: ReadonlyMap<string, NamedArray>, name: string): NamedArray {
  const array = arrays.get(`x:${name}`)
  if (array === undefined) throw new ConversionError('converter-crashed', `The converter wrote no values of ${name}.`)
  return { ...array, name }
}
