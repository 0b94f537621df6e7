/*
 * How far one engine's outputs are from the reference's: measures alone, no judgement (verdict.ts).
 */

/** One output over all samples, row-major: `values[sample * elements + element]`. */
export type OutputSamples = {
  /** Elements of one sample's output. */
  elements: number
  /** Size of the output's last axis; 1 for a scalar. */
  lastAxis: number
  values: Float64Array
}

/**
 * How an output decides: one unit against a threshold of .5, or the largest along the last axis. Undefined for outputs
 * that decide nothing, such as one unit outside 0..1.
 */
export type DecisionKind = 'threshold' | 'top-1'

export type OutputMeasure = {
  /** See `signalToNoiseDb`. */
  snrDb: number
  maxAbsError: number
  meanAbsError: number
  /** The reference's maximum minus its minimum. */
  range: number
  /** Share of equal decisions among those counted; undefined where nothing is decided or no decision is clear. */
  agreement: number | undefined
  /** Elements that are NaN or infinite. */
  nonFinite: { reference: number; candidate: number }
  /** Every element has (nearly) the same value for every sample. */
  constant: { reference: boolean; candidate: boolean }
}

/** A decision is counted only where the reference's margin exceeds this: a share of 1, or of the output's range. */
export const DECISION_MARGIN = 0.1
/** Variation of at most this share of the largest magnitude is float32's own noise. */
const CONSTANT_SHARE = 1e-6

/** @throws RangeError when the two differ in size, or hold no whole number of samples. */
export function measureOutput(reference: OutputSamples, candidate: OutputSamples): OutputMeasure {
  const { values: expected, elements } = reference
  const actual = candidate.values
  if (expected.length !== actual.length || elements < 1 || expected.length % elements !== 0) {
    throw new RangeError(`${actual.length} values to compare with ${expected.length} in samples of ${elements}`)
  }
  let maxAbsError = 0
  let sumAbsError = 0
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs((actual[i] as number) - (expected[i] as number))
    // NaN must win over every number, which Math.max alone does and a comparison does not.
    maxAbsError = Math.max(maxAbsError, error)
    sumAbsError += error
  }
  return {
    snrDb: signalToNoiseDb(reference, candidate),
    maxAbsError,
    meanAbsError: sumAbsError / expected.length,
    range: rangeOf(expected),
    agreement: agreementOf(reference, candidate),
    nonFinite: { reference: countNonFinite(expected), candidate: countNonFinite(actual) },
    constant: { reference: isConstant(reference), candidate: isConstant(candidate) }
  }
}

/**
 * Mean-removed signal-to-noise ratio in dB: 10 log10(var(reference) / mse).
 *
 * var is the mean over all elements of (r - m)^2, where m is that element's mean over the samples: what does not depend
 * on the input is no signal, and a large constant part hides no error. mse is the mean of (candidate - r)^2, its own
 * mean not removed, so that a bias counts as noise. Infinity when nothing differs; -Infinity when the reference is
 * constant and something differs.
 */
export function signalToNoiseDb(reference: OutputSamples, candidate: OutputSamples): number {
  let squaredError = 0
  for (let i = 0; i < reference.values.length; i++) {
    squaredError += ((candidate.values[i] as number) - (reference.values[i] as number)) ** 2
  }
  if (squaredError === 0) return Number.POSITIVE_INFINITY
  return 10 * Math.log10(squaredDeviation(reference) / squaredError)
}

/** Sum over elements and samples of the squared distance from the element's mean over the samples. */
function squaredDeviation({ values, elements }: OutputSamples): number {
  const samples = values.length / elements
  let sum = 0
  for (let element = 0; element < elements; element++) {
    let mean = 0
    for (let at = element; at < values.length; at += elements) mean += (values[at] as number) / samples
    for (let at = element; at < values.length; at += elements) sum += ((values[at] as number) - mean) ** 2
  }
  return sum
}

export function isConstant(output: OutputSamples): boolean {
  const magnitude = output.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
  const deviation = Math.sqrt(squaredDeviation(output) / output.values.length)
  return deviation <= CONSTANT_SHARE * magnitude
}

export function decisionKind(reference: OutputSamples): DecisionKind | undefined {
  if (reference.lastAxis > 1) return 'top-1'
  const isProbability = reference.elements === 1 && reference.values.every((value) => value >= 0 && value <= 1)
  return isProbability ? 'threshold' : undefined
}

/** The decisions of every row of `lastAxis` elements: an index, or 0 and 1 for one unit; NaN gives -1. */
export function decisionsOf(output: OutputSamples, kind: DecisionKind): Int32Array {
  return Int32Array.from(rowsOf(output), (row) => {
    if (row.some(Number.isNaN)) return -1
    if (kind === 'threshold') return Number((row[0] as number) >= 0.5)
    return row.reduce((best, value, index) => (value > (row[best] as number) ? index : best), 0)
  })
}

function agreementOf(reference: OutputSamples, candidate: OutputSamples): number | undefined {
  const kind = decisionKind(reference)
  if (kind === undefined) return undefined
  const probabilities = reference.values.every((value) => value >= 0 && value <= 1)
  const margin = DECISION_MARGIN * (probabilities ? 1 : rangeOf(reference.values))
  const expected = decisionsOf(reference, kind)
  const actual = decisionsOf(candidate, kind)
  let counted = 0
  let equal = 0
  for (const [index, row] of rowsOf(reference).entries()) {
    if (!(marginOf(row, kind) > margin)) continue
    counted++
    if (expected[index] === actual[index]) equal++
  }
  return counted === 0 ? undefined : equal / counted
}

function marginOf(row: Float64Array, kind: DecisionKind): number {
  if (kind === 'threshold') return Math.abs((row[0] as number) - 0.5)
  let first = Number.NEGATIVE_INFINITY
  let second = Number.NEGATIVE_INFINITY
  for (const value of row) {
    if (value > first) [first, second] = [value, first]
    else if (value > second) second = value
  }
  return first - second
}

function rowsOf({ values, lastAxis }: OutputSamples): Float64Array[] {
  const rows: Float64Array[] = []
  for (let at = 0; at < values.length; at += lastAxis) rows.push(values.subarray(at, at + lastAxis))
  return rows
}

function rangeOf(values: Float64Array): number {
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const value of values) {
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  return high - low
}

function countNonFinite(values: Float64Array): number {
  let count = 0
  for (const value of values) if (!Number.isFinite(value)) count++
  return count
}
