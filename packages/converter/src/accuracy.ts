import { type DecisionKind, decisionKind, decisionsOf } from './decisions.ts'
import type { OutputSamples } from './parity.ts'

/** The class of each sample, as the labels say. */
export type Labels = { classes: Float64Array; kind: DecisionKind }

/**
 * Labels of shape [samples] or [samples, 1] hold class numbers, [samples, classes] a 1 in the class's place.
 *
 * @returns a sentence that says why the labels cannot be used, where they cannot.
 */
export function readLabels(labels: Float64Array, shape: readonly number[], output: OutputSamples): Labels | string {
  const samples = output.values.length / output.elements
  const kind = decisionKind(output)
  const decidesOnce = output.elements === (kind === 'top-1' ? output.lastAxis : 1)
  if (kind === undefined || !decidesOnce) {
    return 'The labels are not used: the output is not one decision per sample.'
  }
  const width = labels.length / samples
  const oneHot = kind === 'top-1' && width === output.lastAxis
  if (shape[0] !== samples || (width !== 1 && !oneHot)) {
    return `The labels are not used: their shape [${shape}] does not fit ${samples} samples of ${output.elements}.`
  }
  if (oneHot) return { classes: decisionsOf({ ...output, values: labels }, kind), kind }
  const limit = kind === 'threshold' ? 2 : kind === 'equal' ? Number.MAX_SAFE_INTEGER : output.lastAxis
  const valid = labels.every((label) => Number.isInteger(label) && label >= 0 && label < limit)
  if (valid) return { classes: labels, kind }
  const range = kind === 'equal' ? 'whole numbers' : `whole numbers from 0 to ${limit - 1}`
  return `The labels are not used: they are not ${range}.`
}

/** Share of samples whose decision is the label's. */
export function accuracyOf(output: OutputSamples, { classes, kind }: Labels): number {
  const decisions = decisionsOf(output, kind)
  return decisions.reduce((right, decision, index) => right + Number(decision === classes[index]), 0) / classes.length
}

/** `standardError` is that of the difference of the two accuracies. */
export type AccuracyChange = { original: number; variant: number; standardError: number }

/**
 * Both accuracies on the same samples. Only samples that changed sides say anything of the difference, which is why its
 * standard error is the square root of their number (McNemar's variance) over the number of samples.
 */
export function compareAccuracy(original: OutputSamples, variant: OutputSamples, labels: Labels): AccuracyChange {
  const { classes, kind } = labels
  const before = decisionsOf(original, kind)
  const after = decisionsOf(variant, kind)
  let changed = 0
  for (const [index, label] of classes.entries()) {
    if ((before[index] === label) !== (after[index] === label)) changed++
  }
  return {
    original: accuracyOf(original, labels),
    variant: accuracyOf(variant, labels),
    standardError: Math.sqrt(changed) / classes.length
  }
}

export type AccuracyFinding = 'kept' | 'unclear' | 'lost'

/**
 * `unclear`: the drop is within half a standard error below, or one above, of what is allowed; a hundred samples move an
 * accuracy by as much. Then SNR and agreement decide.
 *
 * Measured by judging 70 variants of two models on 60 sets of 64, 80 and 128 samples each, drawn from large ones: where
 * the drop alone decided, 1.15 broken variants were accepted and 2.6 good ones refused, on average, in the three; with a
 * whole standard error on both sides none and 2.55; with these .36 and 1.54.
 */
export function findLoss({ original, variant, standardError }: AccuracyChange, maxDrop: number): AccuracyFinding {
  const excess = original - variant - maxDrop
  // Accuracies are multiples of 1/samples; less than that keeps rounding from deciding.
  if (excess + standardError / 2 <= 1e-9) return 'kept'
  return excess > standardError ? 'lost' : 'unclear'
}

/**
 * Whether an accuracy tells anything: it exceeds what always answering the most frequent class would reach by more than
 * two standard errors. Below that a broken variant, which guesses, would lose nothing.
 */
export function isTelling(accuracy: number, { classes }: Labels): boolean {
  const counts = new Map<number, number>()
  for (const label of classes) counts.set(label, (counts.get(label) ?? 0) + 1)
  const guess = [...counts.values()].reduce((most, count) => Math.max(most, count), 0) / classes.length
  return accuracy > guess + 2 * Math.sqrt((guess * (1 - guess)) / classes.length)
}
