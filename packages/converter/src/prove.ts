import type { NamedArray } from './array.ts'
import { type AnsweredSamples, type Evidence, holdsIntegers, outputSamples } from './evidence.ts'
import { pickRows, writeGoldenOutputs } from './golden-samples.ts'
import { drawOutputs } from './pictures.ts'
import { findStructuralFault } from './structure.ts'
import { toleranceFor } from './tolerances.ts'
import type { Trial, TrialRuntime } from './trial.ts'
import type { Tolerance, VariantName, VariantResult, VariantRuntimeResult } from './types.ts'
import type { VariantFile } from './variant-file.ts'
import { type Comparison, judge, stateOf, type Verdict, worst } from './verdict.ts'

export type Proof = Pick<VariantResult, 'state' | 'reason' | 'parity' | 'runtimes' | 'goldenOutputsPath' | 'pictures'>

/**
 * Runs a variant on every runtime, judges each, and keeps the golden outputs and the pictures of the first that can run
 * it. `variant` is what the recipe makes, which sets the tolerance; `name` is the recipe's (default the variant's).
 */
export async function proveVariant(
  variant: VariantName,
  path: string,
  file: VariantFile,
  evidence: Evidence,
  options: {
    runtimes: readonly TrialRuntime[]
    name?: string
    tolerance?: Tolerance
    goldenOutputsPath: string
    onProgress: (share: number, message: string) => void
  }
): Promise<Proof> {
  const name = options.name ?? variant
  if (evidence.reference.length === 0) return { state: 'unproven', ...reasonOf(evidence.unproven), runtimes: [] }
  const results: VariantRuntimeResult[] = []
  const verdicts: Verdict[] = []
  let kept: Pick<Proof, 'goldenOutputsPath' | 'pictures'> = {}
  for (const [index, runtime] of options.runtimes.entries()) {
    const onSample = (done: number, count: number) => {
      if (done % 5 !== 0 && done !== count) return
      const share = (index + done / count) / options.runtimes.length
      options.onProgress(share, `${name} on ${runtime.name}: sample ${done} of ${count}`)
    }
    const { samples, probes, names } = evidence
    const trial = await runtime.run(path, file.model.operators, names, samples, onSample, probes?.samples)
    const ran = { name: runtime.name, version: runtime.version }
    if ('refused' in trial) {
      results.push({ ...ran, runnable: false, reason: trial.refused })
      continue
    }
    const mismatch = shapeMismatch(evidence.reference, trial.outputs)
    if (mismatch !== undefined) {
      results.push({ ...ran, runnable: true, reason: mismatch, p50Ms: trial.p50Ms })
      return { state: 'rejected', reason: mismatch, runtimes: results }
    }
    const verdict = compareTrial(variant, evidence, trial, options.tolerance)
    verdicts.push(verdict)
    results.push({ ...ran, runnable: true, ...reasonOf(verdict.reason), parity: verdict.parity, p50Ms: trial.p50Ms })
    if (verdicts.length > 1) continue
    const { goldenOutputsPath } = options
    await writeGoldenOutputs(goldenOutputsPath, name, ran, trial, names, evidence.golden)
    kept = { goldenOutputsPath, pictures: drawOutputs(comparedOutputs(evidence, trial.outputs)) }
  }
  const verdict = worst(verdicts)
  if (verdict === undefined) {
    const reasons = results.map(({ reason }) => reason).join('; ')
    const reason = results.length === 0 ? 'There was no runtime to run it.' : `No runtime here can run it: ${reasons}.`
    return { state: 'unproven', reason, runtimes: results }
  }
  return { ...stateOf(verdict, evidence.unproven), parity: verdict.parity, runtimes: results, ...kept }
}

/** Judges what one runtime answered, which has the reference's shapes. */
export function compareTrial(
  variant: VariantName,
  evidence: Evidence,
  trial: Pick<Trial, 'loaded' | 'outputs' | 'probes'>,
  overrides?: Tolerance
): Verdict {
  const { labels, labelledOutput, heldOut, samples } = evidence
  const verdict = judge({
    reference: evidence.referenceName,
    data: evidence.data,
    samples: heldOut?.length ?? samples[0]?.shape[0] ?? 0,
    tolerance: (decided) => toleranceFor(variant, evidence.data, overrides, decided),
    outputs: comparedOutputs(evidence, trial.outputs),
    ...(labels === undefined ? {} : { labels: pickLabels(labels, heldOut) }),
    ...(labelledOutput === undefined ? {} : { labelledOutput })
  })
  if (verdict.outcome === 'rejected') return verdict
  const fault = structuralFault(variant, evidence, trial)
  if (fault === undefined) return verdict
  return { outcome: 'rejected', reason: fault, parity: { ...verdict.parity, passed: false } }
}

function structuralFault(
  variant: VariantName,
  evidence: Evidence,
  { loaded, outputs, probes }: Pick<Trial, 'loaded' | 'outputs' | 'probes'>
): string | undefined {
  const find = (answered: AnsweredSamples, answers: readonly NamedArray[]) =>
    findStructuralFault({
      variant,
      samples: answered.samples,
      outputs: answered.reference.map((reference) => {
        const step = loaded.outputs.find(({ name }) => name === evidence.names.outputs[reference.name])?.quantization
        return { ...pair(reference, answers), step: step?.scales[0] ?? 0 }
      })
    })
  if (evidence.data === 'generated') return find(evidence, outputs)
  if (evidence.probes === undefined || probes === undefined) return undefined
  if ('failed' in probes) return `It fails on generated inputs, which the original answers: ${probes.failed}`
  const mismatch = shapeMismatch(evidence.probes.reference, probes)
  return mismatch ?? find(evidence.probes, probes)
}

/** The samples that count, of every output. */
function comparedOutputs({ reference, heldOut }: Evidence, answers: readonly NamedArray[]): Comparison['outputs'] {
  if (heldOut === undefined) return reference.map((each) => pair(each, answers))
  const chosen = answers.map((each) => pickRows(each, heldOut))
  return reference.map((each) => pair(pickRows(each, heldOut), chosen))
}

function pair(reference: NamedArray, answers: readonly NamedArray[]): Comparison['outputs'][number] {
  const candidate = answers.find(({ name }) => name === reference.name)
  if (candidate === undefined) throw new RangeError(`no output ${reference.name}`)
  const integers = holdsIntegers(reference)
  return { name: reference.name, reference: outputSamples(reference, integers), candidate: outputSamples(candidate) }
}

function pickLabels(labels: NonNullable<Evidence['labels']>, heldOut: Evidence['heldOut']) {
  if (heldOut === undefined) return labels
  return { ...labels, classes: Float64Array.from(heldOut, (index) => labels.classes[index] as number) }
}

function shapeMismatch(reference: readonly NamedArray[], outputs: readonly NamedArray[]): string | undefined {
  for (const { name, data, shape } of reference) {
    const found = outputs.find((output) => output.name === name)
    if (found?.data.length !== data.length) {
      return `Output ${name} has shape [${found?.shape ?? 'none'}] over all samples; the original's is [${shape}].`
    }
  }
  return undefined
}

const reasonOf = (reason: string | undefined) => (reason === undefined ? {} : { reason })
