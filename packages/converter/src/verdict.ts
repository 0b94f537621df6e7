import {
  type AccuracyChange,
  type AccuracyFinding,
  compareAccuracy,
  findLoss,
  isTelling,
  type Labels
} from './accuracy.ts'
import { measureOutput, type OutputMeasure, type OutputSamples } from './parity.ts'
import { MINIMUM_PROOF_SAMPLES } from './tolerances.ts'
import type { Parity, ParityOutput, Tolerance, VariantState } from './types.ts'

export type Comparison = {
  /** Name of the reference engine. */
  reference: string
  data: 'uploaded' | 'generated'
  samples: number
  /** Of an output of whose decisions the share `decided` is clear. */
  tolerance: (decided: number) => Tolerance
  outputs: { name: string; reference: OutputSamples; candidate: OutputSamples }[]
  labels?: Labels
  /** Which output the labels are of. Default the first. */
  labelledOutput?: number
}

export type Verdict = { outcome: 'passed' | 'rejected' | 'inconclusive'; reason?: string; parity: Parity }

// An output of which less than this share can be compared tells too little of the model.
const minComparable = 0.5
// How far a constant output, such as a detector's anchors, may move: a share of its magnitude.
const constantTolerance = 0.01

type Finding = {
  name: string
  tolerance: Tolerance
  measure: OutputMeasure
  broken: string | undefined
  blank: string | undefined
  misses: string[]
}

/**
 * Judges one variant on one runtime.
 *
 * NaN, infinite and constant outputs refuse whatever the tolerance, unless the reference is so itself: then the data
 * tells nothing and the verdict is inconclusive. Beside outputs that can be compared, one that is constant by nature
 * (a detector's anchors) only has to stay what it is.
 *
 * Where labels are given and the original does better than guessing, the drop in accuracy decides in place of that
 * output's SNR and agreement. Only where it is so near to what is allowed that chance would decide (findLoss), do those
 * decide after all. A tolerance that bounds the maximum error promises numbers, which no accuracy excuses.
 */
export function judge(comparison: Comparison): Verdict {
  const { labelledOutput = 0 } = comparison
  const accuracy = accuracyFor(comparison)
  const findings = comparison.outputs.map(({ name, reference, candidate }): Finding => {
    const measure = measureOutput(reference, candidate)
    const tolerance = comparison.tolerance(measure.decided)
    const misses = whatIsMissed(measure, tolerance, reference.integers === true)
    const broken = whatIsBroken(measure, comparison.data)
    return { name, tolerance, measure, broken, blank: whyBlank(measure), misses }
  })
  const parity: Parity = {
    reference: comparison.reference,
    data: comparison.data,
    samples: comparison.samples,
    outputs: findings.map(describe),
    ...(accuracy === undefined ? {} : { accuracy: { original: accuracy.original, variant: accuracy.variant } }),
    passed: false
  }

  const broken = findings.flatMap(({ name, broken: why }) => (why === undefined ? [] : [`${name}: ${why}`]))
  if (broken.length > 0) return { outcome: 'rejected', reason: `${broken.join('; ')}.`, parity }
  const comparable = findings.filter(({ blank }) => blank === undefined)
  const blank = findings.find((finding) => finding.blank !== undefined && !(comparable.length > 0 && stays(finding)))
  if (blank !== undefined) {
    const reason = `The original's output ${blank.name} is ${blank.blank}, so that nothing can be compared on this data.`
    return { outcome: 'inconclusive', reason, parity }
  }

  const kept = accuracyFinding(comparison, accuracy, findings[labelledOutput]?.tolerance)
  const decided = kept?.finding === 'kept' || kept?.finding === 'lost'
  const missed = findings.flatMap(({ name, blank: why, misses, tolerance }, index) => {
    const promisesNumbers = tolerance.maxAbsErrorOfRange !== undefined
    const overridden = index === labelledOutput && decided && !promisesNumbers
    return why !== undefined || overridden ? [] : misses.map((text) => `${name}: ${text}`)
  })
  if (kept?.finding === 'lost' || (kept?.finding === 'unclear' && missed.length > 0)) missed.unshift(kept.text)
  if (missed.length > 0) return { outcome: 'rejected', reason: `${missed.join('; ')}.`, parity }
  return { outcome: 'passed', parity: { ...parity, passed: true } }
}

/**
 * The state of a variant from the worst of its verdicts. `unproven`: why the data proves nothing, where it does not.
 */
export function stateOf(verdict: Verdict, unproven?: string): { state: VariantState; reason?: string } {
  const { outcome, reason, parity } = verdict
  if (outcome !== 'passed') return { state: outcome, ...(reason === undefined ? {} : { reason }) }
  if (unproven !== undefined) return { state: 'unproven', reason: unproven }
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

function accuracyFor({ labels, outputs, labelledOutput = 0 }: Comparison): AccuracyChange | undefined {
  const output = outputs[labelledOutput]
  if (labels === undefined || output === undefined) return undefined
  return compareAccuracy(output.reference, output.candidate, labels)
}

/** Undefined where labels decide nothing. */
function accuracyFinding(
  { labels, samples }: Comparison,
  accuracy: AccuracyChange | undefined,
  { maxAccuracyDrop = 1 }: Tolerance = {}
): { finding: AccuracyFinding; text: string } | undefined {
  if (labels === undefined || accuracy === undefined || !isTelling(accuracy.original, labels)) return undefined
  const finding = findLoss(accuracy, maxAccuracyDrop)
  const words = `accuracy ${accuracy.original.toFixed(3)} -> ${accuracy.variant.toFixed(3)} on ${samples} labelled samples`
  const chance = finding === 'unclear' ? '; so few cannot tell' : ''
  return { finding, text: `${words} (a drop of at most ${maxAccuracyDrop} is allowed${chance})` }
}

function whatIsBroken({ nonFinite, constant }: OutputMeasure, data: Comparison['data']): string | undefined {
  if (nonFinite.candidate > 0) return `${nonFinite.candidate} of its values are NaN or infinite, the original's are not`
  // A good quantized variant may be constant on noise, as little as the original makes of it (structure.ts).
  if (data === 'uploaded' && constant.candidate && !constant.reference)
    return 'it is the same for every input, while the original varies'
  return undefined
}

function whyBlank({ nonFinite, constant, count }: OutputMeasure): string | undefined {
  if (nonFinite.reference > (1 - minComparable) * count) return 'NaN or infinite for the most part'
  if (constant.reference) return 'the same for every sample'
  return undefined
}

const stays = ({ measure: { nonFinite, count, maxAbsError, magnitude } }: Finding): boolean =>
  nonFinite.reference < count && maxAbsError <= constantTolerance * magnitude

function whatIsMissed(measure: OutputMeasure, tolerance: Tolerance, integers: boolean): string[] {
  const { minSnrDb, maxAbsErrorOfRange, minAgreement } = tolerance
  const errors: string[] = []
  if (minSnrDb !== undefined && !(measure.snrDb >= minSnrDb)) {
    errors.push(`SNR ${measure.snrDb.toFixed(1)} dB (at least ${minSnrDb})`)
  }
  if (maxAbsErrorOfRange !== undefined && !(measure.maxAbsError <= maxAbsErrorOfRange * measure.range)) {
    const share = (measure.maxAbsError / measure.range).toExponential(1)
    errors.push(`maximum error ${share} of the range (at most ${maxAbsErrorOfRange})`)
  }
  const agreement: string[] = []
  if (minAgreement !== undefined && measure.agreement !== undefined && !(measure.agreement >= minAgreement)) {
    agreement.push(`agreement ${measure.agreement.toFixed(3)} (at least ${minAgreement})`)
  }
  if (minAgreement !== undefined && measure.agreementTop5 !== undefined && !(measure.agreementTop5 >= minAgreement)) {
    agreement.push(`top-5 agreement ${measure.agreementTop5.toFixed(3)} (at least ${minAgreement})`)
  }
  // A class number has no distance, and a count cannot be off by less than one: the one measure or the other fits.
  if (integers && (errors.length === 0 || (minAgreement !== undefined && agreement.length === 0))) return []
  return [...errors, ...agreement]
}

const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)

function describe({ name, tolerance, measure, broken, blank, misses }: Finding): ParityOutput {
  const { agreement, agreementTop5 } = measure
  return {
    name,
    snrDb: finite(measure.snrDb),
    maxAbsError: finite(measure.maxAbsError),
    meanAbsError: finite(measure.meanAbsError),
    ...(agreement === undefined ? {} : { agreement }),
    ...(agreementTop5 === undefined ? {} : { agreementTop5 }),
    tolerance,
    passed: broken === undefined && blank === undefined && misses.length === 0
  }
}
