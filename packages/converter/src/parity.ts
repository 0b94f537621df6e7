/*
 * How far one engine's outputs are from the reference's: measures alone, no judgement (verdict.ts).
 *
 * A segmentation or detection model answers millions of elements, so nothing here makes an object per row or copies a
 * whole output. Elements for which the reference itself is NaN or infinite are left out of every measure but the count.
 */

import { type Decide, type DecisionKind, decideAt, decisionKind, marginAt, rankAt } from './decisions.ts'

/** One output over all samples, row-major: `values[sample * elements + element]`. */
export type OutputSamples = {
  /** Elements of one sample's output. */
  elements: number
  /** Size of the output's last axis; 1 for a scalar. */
  lastAxis: number
  /** The model itself answers whole numbers: classes, counts, masks. A quantized real is none. */
  integers?: boolean
  values: ArrayLike<number>
}

export type OutputMeasure = {
  /** See `signalToNoiseDb`. */
  snrDb: number
  maxAbsError: number
  meanAbsError: number
  /** Root of the mean squared error. */
  rmsError: number
  /** Root of the mean squared distance of the reference's elements from their means over the samples. */
  deviation: number
  /** The reference's maximum minus its minimum. */
  range: number
  /** Largest absolute value of the reference. */
  magnitude: number
  /** Share of equal decisions among those counted; undefined where nothing is decided or no decision is clear. */
  agreement: number | undefined
  /**
   * Share of the reference's decisions that are among the candidate's five largest; only of more than five classes, and
   * counted where the reference's first leads its sixth by the margin.
   */
  agreementTop5: number | undefined
  /** Share of the reference's decisions that are clear enough to be counted. */
  decided: number
  /** Elements that are NaN or infinite: the reference's, and the candidate's where the reference's are not. */
  nonFinite: { reference: number; candidate: number }
  /** Every element has (nearly) the same value for every sample. */
  constant: { reference: boolean; candidate: boolean }
  /** Elements of all samples. */
  count: number
}

/** A decision is counted only where the reference's margin exceeds this: a share of 1, or of the output's range. */
export const DECISION_MARGIN = 0.1
/** Variation of at most this share of the largest magnitude is float32's own noise. */
const CONSTANT_SHARE = 1e-6
const TOP = 5

/** @throws RangeError when the two differ in size, or hold no whole number of samples. */
export function measureOutput(reference: OutputSamples, candidate: OutputSamples): OutputMeasure {
  const { values: expected, elements } = reference
  const actual = candidate.values
  if (expected.length !== actual.length || elements < 1 || expected.length % elements !== 0) {
    throw new RangeError(`${actual.length} values to compare with ${expected.length} in samples of ${elements}`)
  }
  const spread = spreadOf(reference)
  const errors = errorsOf(expected, actual)
  const compared = expected.length - spread.nonFinite
  return {
    snrDb: toDb(spread.squaredDeviation, errors.squared),
    maxAbsError: compared === 0 ? Number.NaN : errors.largest,
    meanAbsError: errors.sum / compared,
    rmsError: Math.sqrt(errors.squared / compared),
    deviation: Math.sqrt(spread.squaredDeviation / compared),
    range: spread.high - spread.low,
    magnitude: spread.magnitude,
    ...agreementsOf(reference, actual, spread.high - spread.low),
    nonFinite: { reference: spread.nonFinite, candidate: errors.nonFinite },
    constant: { reference: isSteady(spread), candidate: isSteady(spreadOf(candidate)) },
    count: expected.length
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
  return toDb(spreadOf(reference).squaredDeviation, errorsOf(reference.values, candidate.values).squared)
}

export const isConstant = (output: OutputSamples): boolean => isSteady(spreadOf(output))

function toDb(squaredDeviation: number, squaredError: number): number {
  return squaredError === 0 ? Number.POSITIVE_INFINITY : 10 * Math.log10(squaredDeviation / squaredError)
}

function errorsOf(expected: ArrayLike<number>, actual: ArrayLike<number>) {
  let [largest, sum, squared, nonFinite] = [0, 0, 0, 0]
  for (let at = 0; at < expected.length; at++) {
    const r = expected[at] as number
    if (!Number.isFinite(r)) continue
    const c = actual[at] as number
    if (!Number.isFinite(c)) nonFinite++
    const error = Math.abs(c - r)
    // NaN must win over every number, which Math.max alone does and a comparison does not.
    largest = Math.max(largest, error)
    sum += error
    squared += error * error
  }
  return { largest, sum, squared, nonFinite }
}

type Spread = {
  /** Sum over elements and samples of the squared distance from the element's mean over the samples. */
  squaredDeviation: number
  low: number
  high: number
  magnitude: number
  nonFinite: number
  count: number
}

function spreadOf({ values, elements }: OutputSamples): Spread {
  const means = new Float64Array(elements)
  const missing = new Float64Array(elements)
  let [low, high, nonFinite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0]
  const samples = values.length / elements
  for (let at = 0, element = 0; at < values.length; at++, element = element + 1 === elements ? 0 : element + 1) {
    const value = values[at] as number
    if (!Number.isFinite(value)) {
      nonFinite++
      missing[element] = (missing[element] as number) + 1
      continue
    }
    if (value < low) low = value
    if (value > high) high = value
    means[element] = (means[element] as number) + value
  }
  for (let element = 0; element < elements; element++) {
    means[element] = (means[element] as number) / Math.max(1, samples - (missing[element] as number))
  }
  let squaredDeviation = 0
  for (let at = 0, element = 0; at < values.length; at++, element = element + 1 === elements ? 0 : element + 1) {
    const value = values[at] as number
    if (Number.isFinite(value)) squaredDeviation += (value - (means[element] as number)) ** 2
  }
  const magnitude = nonFinite === values.length ? 0 : Math.max(Math.abs(low), Math.abs(high))
  return { squaredDeviation, low, high, magnitude, nonFinite, count: values.length }
}

function isSteady({ squaredDeviation, magnitude, nonFinite, count }: Spread): boolean {
  if (nonFinite === count) return true
  return Math.sqrt(squaredDeviation / (count - nonFinite)) <= CONSTANT_SHARE * magnitude
}

function agreementsOf(
  reference: OutputSamples,
  actual: ArrayLike<number>,
  range: number
): Pick<OutputMeasure, 'agreement' | 'agreementTop5' | 'decided'> {
  const kind = decisionKind(reference)
  if (kind === undefined) return { agreement: undefined, agreementTop5: undefined, decided: 0 }
  const { values: expected, lastAxis: width } = reference
  const margin = DECISION_MARGIN * (isProbability(expected) ? 1 : range)
  const decide: Decide = decideAt(kind, width)
  const step = kind === 'top-1' ? width : 1
  let [counted, equal, countedTop5, withinTop5] = [0, 0, 0, 0]
  for (let at = 0; at < expected.length; at += step) {
    const decision = decide(expected, at)
    if (decision === -1 && kind !== 'equal') continue
    if (isClear(kind, expected, at, width, 1, margin)) {
      counted++
      if (decision === decide(actual, at)) equal++
    }
    if (kind !== 'top-1' || width <= TOP || !isClear(kind, expected, at, width, TOP, margin)) continue
    countedTop5++
    if (rankAt(actual, at, width, decision) < TOP) withinTop5++
  }
  return {
    agreement: counted === 0 ? undefined : equal / counted,
    agreementTop5: countedTop5 === 0 ? undefined : withinTop5 / countedTop5,
    decided: (counted * step) / expected.length
  }
}

const isClear = (
  kind: DecisionKind,
  values: ArrayLike<number>,
  at: number,
  width: number,
  place: number,
  margin: number
): boolean => kind === 'equal' || marginAt(kind, values, at, width, place) > margin

function isProbability(values: ArrayLike<number>): boolean {
  for (let at = 0; at < values.length; at++) {
    const value = values[at] as number
    if (value < 0 || value > 1) return false
  }
  return true
}
