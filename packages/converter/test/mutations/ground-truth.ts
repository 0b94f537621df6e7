import { accuracyOf, readLabels } from '../../src/accuracy.ts'
import { type NamedArray, toNumbers } from '../../src/array.ts'
import { decisionsOf } from '../../src/decisions.ts'
import { holdsIntegers, outputSamples } from '../../src/evidence.ts'
import { measureOutput } from '../../src/parity.ts'
import { DEFAULT_TOLERANCES } from '../../src/tolerances.ts'
import type { VariantName } from '../../src/types.ts'
import type { DataSet, MadeModel } from './made-model.ts'

/** What a fault does to the task: accuracy, or the root of the mean squared error; of the output that suffers most. */
export type GroundTruth = {
  harm: 'harmful' | 'harmless' | 'borderline'
  why: string
  original: number
  candidate: number
}

// A regression that errs by a tenth more than the original is worse.
const allowedGrowth = 0.1
const floatError = 1e-4
// Standard errors that separate a finding from chance.
const certainty = 2

/**
 * Whether a variant still does what its recipe promises, found on a larger labelled set than the judge's. Neither was
 * trained or calibrated on; but both are drawn from the same held-out blocks, and that of the faces holds the judge's 80
 * pictures and variations of them, so that there the two are not independent.
 *
 * - NaN or infinite values are harm.
 * - A float32 file promises the original's numbers: an error (root of the mean square) of more than a ten-thousandth of
 *   what the output varies by is harm, whatever the task loses by it. That is the judge's own 80 dB on
 *   other data: of float32 rows the table shows consistency more than it shows truth.
 * - Accuracy may drop by what the recipe allows (tolerances.ts); the error of a regression may grow by a tenth.
 *
 * Where that difference is less than two (paired) standard errors from what is allowed, the large set itself cannot
 * tell: `borderline`, which neither counts as a false accept nor as a false reject.
 */
export function findHarm(
  { measure }: MadeModel,
  variant: VariantName,
  large: DataSet,
  answers: readonly NamedArray[]
): GroundTruth {
  const findings = large.reference.map((reference) => {
    const candidate = answers.find(({ name }) => name === reference.name)
    const truth = large.truth.get(reference.name)
    if (candidate === undefined || truth === undefined) throw new Error(`nothing to compare ${reference.name} with`)
    const found =
      measure === 'accuracy' ? inAccuracy(reference, candidate, truth, variant) : inError(reference, candidate, truth)
    const worse = inNumbers(variant, reference, candidate)
    return worse === undefined ? found : { ...found, harm: 'harmful' as const, why: worse }
  })
  const rank = { harmful: 0, borderline: 1, harmless: 2 }
  const [worst] = findings.sort((a, b) => rank[a.harm] - rank[b.harm])
  if (worst === undefined) throw new Error('no output')
  return worst
}

function inNumbers(variant: VariantName, reference: NamedArray, candidate: NamedArray): string | undefined {
  const measured = measureOutput(outputSamples(reference, holdsIntegers(reference)), outputSamples(candidate))
  if (measured.nonFinite.candidate > 0) return 'NaN or infinite'
  if (variant !== 'float32' || measured.rmsError <= floatError * measured.deviation) return undefined
  return 'other numbers'
}

function inAccuracy(reference: NamedArray, candidate: NamedArray, y: NamedArray, variant: VariantName): GroundTruth {
  const expected = outputSamples(reference)
  const actual = outputSamples(candidate)
  const labels = readLabels(toNumbers(y.dtype, y.data), y.shape, expected)
  if (typeof labels === 'string') throw new Error(labels)
  const before = decisionsOf(expected, labels.kind)
  const after = decisionsOf(actual, labels.kind)
  // Paired: only samples that changed sides say anything of the difference.
  const losses = Float64Array.from(
    labels.classes,
    (label, at) => Number(before[at] === label) - Number(after[at] === label)
  )
  const allowed = DEFAULT_TOLERANCES[variant].maxAccuracyDrop ?? 0
  return {
    harm: compare(losses.map((loss) => loss - allowed)),
    why: 'accuracy',
    original: accuracyOf(expected, labels),
    candidate: accuracyOf(actual, labels)
  }
}

function inError(reference: NamedArray, candidate: NamedArray, target: NamedArray): GroundTruth {
  const { elements, values: expected } = outputSamples(reference)
  const { values: actual } = outputSamples(candidate)
  const truth = toNumbers(target.dtype, target.data)
  const samples = truth.length / elements
  const before = new Float64Array(samples)
  const after = new Float64Array(samples)
  for (let at = 0; at < truth.length; at++) {
    const sample = Math.floor(at / elements)
    before[sample] = (before[sample] as number) + ((expected[at] as number) - (truth[at] as number)) ** 2
    after[sample] = (after[sample] as number) + ((actual[at] as number) - (truth[at] as number)) ** 2
  }
  const growth = after.map((error, at) => error - (1 + allowedGrowth) ** 2 * (before[at] as number))
  return {
    harm: compare(growth),
    why: 'error',
    original: Math.sqrt(meanOf(before) / elements),
    candidate: Math.sqrt(meanOf(after) / elements)
  }
}

/** Whether what is lost beyond the allowed, one value per sample, is above 0, below, or not to be told. */
function compare(excess: Float64Array): GroundTruth['harm'] {
  const mean = meanOf(excess)
  const variance = excess.reduce((sum, value) => sum + (value - mean) ** 2, 0) / excess.length
  const uncertainty = certainty * Math.sqrt(variance / excess.length)
  if (mean > uncertainty) return 'harmful'
  return mean <= -uncertainty ? 'harmless' : 'borderline'
}

const meanOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length
