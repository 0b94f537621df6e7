import type { NamedArray } from './array.ts'
import { type Evidence, outputSamples } from './evidence.ts'
import { writeGoldenOutputs } from './golden-samples.ts'
import { toleranceFor } from './tolerances.ts'
import type { Trial, TrialRuntime } from './trial.ts'
import type { Tolerance, VariantName, VariantResult, VariantRuntimeResult } from './types.ts'
import type { VariantFile } from './variant-file.ts'
import { judge, stateOf, type Verdict, worst } from './verdict.ts'

type Proof = Pick<VariantResult, 'state' | 'reason' | 'parity' | 'runtimes' | 'goldenOutputsPath'>

/** Runs a variant on every runtime, judges each, and keeps the golden outputs of the first that can run it. */
export async function proveVariant(
  variant: VariantName,
  path: string,
  file: VariantFile,
  evidence: Evidence,
  options: {
    runtimes: readonly TrialRuntime[]
    tolerance?: Tolerance
    goldenOutputsPath: string
    onProgress: (share: number, message: string) => void
  }
): Promise<Proof> {
  const tolerance = toleranceFor(variant, evidence.data, options.tolerance)
  const results: VariantRuntimeResult[] = []
  const verdicts: Verdict[] = []
  let goldenOutputsPath: string | undefined
  for (const [index, runtime] of options.runtimes.entries()) {
    const onSample = (done: number, count: number) => {
      if (done % 5 !== 0 && done !== count) return
      const share = (index + done / count) / options.runtimes.length
      options.onProgress(share, `${variant} on ${runtime.name}: sample ${done} of ${count}`)
    }
    const trial = await runtime.run(path, file.model.operators, evidence.names, evidence.samples, onSample)
    const { name, version } = runtime
    if ('refused' in trial) {
      results.push({ name, version, runnable: false, reason: trial.refused })
      continue
    }
    const mismatch = shapeMismatch(evidence.reference, trial.outputs)
    if (mismatch !== undefined) {
      results.push({ name, version, runnable: true, reason: mismatch, p50Ms: trial.p50Ms })
      return { state: 'rejected', reason: mismatch, runtimes: results }
    }
    const verdict = compare(evidence, trial, tolerance)
    verdicts.push(verdict)
    const reason = verdict.reason === undefined ? {} : { reason: verdict.reason }
    results.push({ name, version, runnable: true, ...reason, parity: verdict.parity, p50Ms: trial.p50Ms })
    if (goldenOutputsPath === undefined) {
      goldenOutputsPath = options.goldenOutputsPath
      await writeGoldenOutputs(goldenOutputsPath, variant, { name, version }, trial, evidence.names, evidence.golden)
    }
  }
  const verdict = worst(verdicts)
  if (verdict === undefined || goldenOutputsPath === undefined) {
    const reasons = results.map(({ reason }) => reason).join('; ')
    const reason = results.length === 0 ? 'There was no runtime to run it.' : `No runtime here can run it: ${reasons}.`
    return { state: 'unproven', reason, runtimes: results }
  }
  return { ...stateOf(verdict), parity: verdict.parity, runtimes: results, goldenOutputsPath }
}

function compare(evidence: Evidence, trial: Trial, tolerance: Tolerance): Verdict {
  return judge({
    reference: evidence.referenceName,
    data: evidence.data,
    samples: evidence.samples[0]?.shape[0] ?? 0,
    tolerance,
    outputs: evidence.reference.map((reference) => {
      const candidate = byName(trial.outputs, reference.name)
      return { name: reference.name, reference: outputSamples(reference), candidate: outputSamples(candidate) }
    }),
    ...(evidence.labels === undefined ? {} : { labels: evidence.labels })
  })
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

function byName(arrays: readonly NamedArray[], name: string): NamedArray {
  const found = arrays.find((array) => array.name === name)
  if (found === undefined) throw new RangeError(`no output ${name}`)
  return found
}
