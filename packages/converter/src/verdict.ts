import { accuracyOf, isTelling, type Labels } from './accuracy.ts'
import { measureOutput, type OutputMeasure, type OutputSamples } from './parity.ts'
import { MINIMUM_PROOF_SAMPLES } from './tolerances.ts'
import type { Parity, ParityOutput, Tolerance, VariantState } from './types.ts'

export type Comparison = {
  /** Name of the reference engine. */
  reference: string
  data: 'uploaded' | 'generated'
  samples: number
  tolerance: Tolerance
  outputs: { name: string; reference: OutputSamples; candidate: OutputSamples }[]
  /** Labels of the first output; only for models with one. */
  labels?: Labels
}

export type Verdict = { outcome: 'passed' | 'rejected' | 'inconclusive'; reason?: string; parity: Parity }

/**
 * Judges one variant on one runtime.
 *
 * NaN, infinite and constant outputs refuse whatever the tolerance, unless the reference is so itself: then the data
 * tells nothing and the verdict is inconclusive. Where labels are given and the original does better than guessing, the
 * drop in accuracy decides in place of SNR and agreement; the maximum error still gates where the tolerance has one.
 */
export function judge(comparison: Comparison): Verdict {
  const { tolerance, labels, outputs } = comparison
  const accuracy = accuracyFor(comparison)
  const labelsDecide = accuracy !== undefined && labels !== undefined && isTelling(accuracy.original, labels)
  const findings = outputs.map(({ name, reference, candidate }) => {
    const measure = measureOutput(reference, candidate)
    return { name, measure, broken: whatIsBroken(measure), missed: whatIsMissed(measure, tolerance) }
  })
  const parity: Parity = {
    reference: comparison.reference,
    data: comparison.data,
    samples: comparison.samples,
    outputs: findings.map(({ name, measure, broken, missed }) => describe(name, measure, tolerance, broken, missed)),
    ...(accuracy === undefined ? {} : { accuracy }),
    passed: false
  }

  const broken = findings.flatMap(({ name, broken: why }) => (why === undefined ? [] : [`${name}: ${why}`]))
  if (broken.length > 0) return { outcome: 'rejected', reason: `${broken.join('; ')}.`, parity }
  const blank = findings.find(({ measure }) => measure.constant.reference || measure.nonFinite.reference > 0)
  if (blank !== undefined) {
    const what = blank.measure.nonFinite.reference > 0 ? 'NaN or infinite values' : 'the same for every sample'
    const reason = `The original's output ${blank.name} is ${what}, so that nothing can be compared on this data.`
    return { outcome: 'inconclusive', reason, parity }
  }

  const missed = findings.flatMap(({ name, missed: misses }) =>
    misses.filter(({ gate }) => !labelsDecide || gate === 'maximum').map(({ text }) => `${name}: ${text}`)
  )
  if (labelsDecide) missed.unshift(...accuracyMissed(accuracy, tolerance, comparison.samples))
  if (missed.length > 0) return { outcome: 'rejected', reason: `${missed.join('; ')}.`, parity }
  return { outcome: 'passed', parity: { ...parity, passed: true } }
}

/** The state of a variant from its verdicts on every runtime that can run it, the worst first in weight. */
export function stateOf(verdict: Verdict): { state: VariantState; reason?: string } {
  const { outcome, reason, parity } = verdict
  if (outcome !== 'passed') return { state: outcome, ...(reason === undefined ? {} : { reason }) }
  if (parity.data === 'generated') {
    const text = 'Compared on generated data only, which finds what is broken and proves nothing: send evaluation data.'
    return { state: 'unproven', reason: text }
  }
  if (parity.samples < MINIMUM_PROOF_SAMPLES) {
    const text = `Compared on ${parity.samples} samples; at least ${MINIMUM_PROOF_SAMPLES} prove something.`
    return { state: 'unproven', reason: text }
  }
  return { state: 'ready' }
}

const severity = { rejected: 2, inconclusive: 1, passed: 0 } as const

/** The one that weighs most: rejected, inconclusive, passed; among equals the lowest SNR. */
export function worst<T extends Verdict>(verdicts: readonly T[]): T | undefined {
  const lowestSnr = ({ parity }: Verdict) =>
    Math.min(...parity.outputs.map(({ snrDb }) => snrDb ?? Number.POSITIVE_INFINITY))
  return [...verdicts].sort((a, b) => {
    const bySeverity = severity[b.outcome] - severity[a.outcome]
    return bySeverity !== 0 ? bySeverity : lowestSnr(a) - lowestSnr(b) || 0
  })[0]
}

function accuracyFor({ labels, outputs }: Comparison): { original: number; variant: number } | undefined {
  const [output] = outputs
  if (labels === undefined || output === undefined) return undefined
  return { original: accuracyOf(output.reference, labels), variant: accuracyOf(output.candidate, labels) }
}

function whatIsBroken({ nonFinite, constant }: OutputMeasure): string | undefined {
  if (nonFinite.candidate > 0 && nonFinite.reference === 0) {
    return `${nonFinite.candidate} of its values are NaN or infinite`
  }
  if (constant.candidate && !constant.reference) return 'it is the same for every input, while the original varies'
  return undefined
}

type Miss = { gate: 'snr' | 'maximum' | 'agreement'; text: string }

function whatIsMissed(measure: OutputMeasure, tolerance: Tolerance): Miss[] {
  const { minSnrDb, maxAbsErrorOfRange, minAgreement } = tolerance
  const misses: Miss[] = []
  if (minSnrDb !== undefined && !(measure.snrDb >= minSnrDb)) {
    misses.push({ gate: 'snr', text: `SNR ${measure.snrDb.toFixed(1)} dB (at least ${minSnrDb})` })
  }
  if (maxAbsErrorOfRange !== undefined && !(measure.maxAbsError <= maxAbsErrorOfRange * measure.range)) {
    const share = (measure.maxAbsError / measure.range).toExponential(1)
    misses.push({ gate: 'maximum', text: `maximum error ${share} of the range (at most ${maxAbsErrorOfRange})` })
  }
  if (minAgreement !== undefined && measure.agreement !== undefined && !(measure.agreement >= minAgreement)) {
    misses.push({ gate: 'agreement', text: `agreement ${measure.agreement.toFixed(3)} (at least ${minAgreement})` })
  }
  return misses
}

function accuracyMissed(
  { original, variant }: { original: number; variant: number },
  { maxAccuracyDrop }: Tolerance,
  samples: number
): string[] {
  if (maxAccuracyDrop === undefined) return []
  // Accuracies are multiples of 1/samples; half of that keeps rounding from deciding.
  if (original - variant <= maxAccuracyDrop + 0.5e-9) return []
  const drop = `${original.toFixed(3)} -> ${variant.toFixed(3)}`
  return [`accuracy ${drop} on ${samples} labelled samples (a drop of at most ${maxAccuracyDrop} is allowed)`]
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)

function describe(
  name: string,
  measure: OutputMeasure,
  tolerance: Tolerance,
  broken: string | undefined,
  missed: Miss[]
): ParityOutput {
  const comparable = !measure.constant.reference && measure.nonFinite.reference === 0
  return {
    name,
    snrDb: finite(measure.snrDb),
    maxAbsError: finite(measure.maxAbsError),
    meanAbsError: finite(measure.meanAbsError),
    ...(measure.agreement === undefined ? {} : { agreement: measure.agreement }),
    tolerance,
    passed: broken === undefined && comparable && missed.length === 0
  }
}
