import { type DecisionKind, decisionKind, decisionsOf, type OutputSamples } from './parity.ts'

/** The class of each sample, as the labels say. */
export type Labels = { classes: Int32Array; kind: DecisionKind }

/**
 * Labels of shape [samples] or [samples, 1] hold class numbers, [samples, classes] a 1 in the class's place.
 *
 * @returns a sentence that says why the labels cannot be used, where they cannot.
 */
export function readLabels(labels: Float64Array, shape: readonly number[], output: OutputSamples): Labels | string {
  const samples = output.values.length / output.elements
  const kind = decisionKind(output)
  if (kind === undefined || output.elements !== output.lastAxis) {
    return 'The labels are not used: the output is not one decision per sample.'
  }
  const width = labels.length / samples
  const oneHot = kind === 'top-1' && width === output.lastAxis
  if (shape[0] !== samples || (width !== 1 && !oneHot)) {
    return `The labels are not used: their shape [${shape}] does not fit ${samples} samples of ${output.elements}.`
  }
  if (oneHot) return { classes: decisionsOf({ ...output, values: labels }, kind), kind }
  const classes = Int32Array.from(labels)
  const limit = kind === 'threshold' ? 2 : output.lastAxis
  const valid = labels.every((label, index) => label === classes[index] && label >= 0 && label < limit)
  return valid ? { classes, kind } : `The labels are not used: they are not whole numbers from 0 to ${limit - 1}.`
}

/** Share of samples whose decision is the label's. */
export function accuracyOf(output: OutputSamples, { classes, kind }: Labels): number {
  const decisions = decisionsOf(output, kind)
  return decisions.reduce((right, decision, index) => right + Number(decision === classes[index]), 0) / classes.length
}

/**
 * Whether an accuracy tells anything: it exceeds what always answering the most frequent class would reach by more than
 * two standard errors. Below that a broken variant, which guesses, would lose nothing.
 */
export function isTelling(accuracy: number, { classes }: Labels): boolean {
  const counts = new Map<number, number>()
  for (const label of classes) counts.set(label, (counts.get(label) ?? 0) + 1)
  const guess = Math.max(...counts.values()) / classes.length
  return accuracy > guess + 2 * Math.sqrt((guess * (1 - guess)) / classes.length)
}
