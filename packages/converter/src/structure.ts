import type { NamedArray } from './array.ts'
import { measureOutput, type OutputSamples } from './parity.ts'
import { type AnsweredOutput, findSwappedInputs, findSwappedOutputs } from './swapped-tensors.ts'
import type { VariantName } from './types.ts'

export type StructureCheck = {
  variant: VariantName
  samples: readonly NamedArray[]
  /** `step`: the scale of a quantized output, else 0. */
  outputs: readonly AnsweredOutput[]
}

// Float variants compute the same function on any data; a lost weight or a swapped tensor leaves far less than this.
const floatSnrDb = 20
// Where noise moves an output by less than rounding does, the ratio says nothing: errors below these shares of the
// output's magnitude are excused.
const rounding = { float32: 1e-3, float16: 1e-2 } as const
// What a quantized variant may flatten: noise is not what its ranges were made for.
const flattened = 0.05

/**
 * What is broken in a variant whatever its tolerance, found on generated and edge inputs: NaN and infinite values, an
 * output that answers the same to everything, exchanged inputs or outputs; and, of float variants alone, another
 * function. A good quantized variant may be anywhere on such inputs (-4 dB were measured), so that its errors say nothing.
 */
export function findStructuralFault({ variant, samples, outputs }: StructureCheck): string | undefined {
  const excused = variant === 'float32' || variant === 'float16' ? rounding[variant] : undefined
  for (const { name, reference, candidate, step } of outputs) {
    const measure = measureOutput(reference, candidate)
    const { nonFinite, constant, magnitude, rmsError, deviation, snrDb } = measure
    if (nonFinite.candidate > 0) {
      return `${name}: ${nonFinite.candidate} of its values for generated inputs are NaN or infinite, the original's are not.`
    }
    if (constant.reference) continue
    const visible = excused !== undefined ? 0 : Math.max(2 * step, flattened * magnitude)
    if (constant.candidate && deviation > visible) {
      return `${name}: it is the same for every generated input, while the original varies.`
    }
    if (excused === undefined || snrDb >= floatSnrDb || rmsError <= excused * magnitude) continue
    const most = measureOutput(...withoutWorst(reference, candidate))
    if (most.snrDb < floatSnrDb && most.rmsError > excused * most.magnitude) {
      const snr = most.snrDb.toFixed(1)
      return `${name}: SNR ${snr} dB on most generated inputs (at least ${floatSnrDb}), which is another function.`
    }
  }
  const swapped = findSwappedOutputs(outputs) ?? findSwappedInputs(samples, outputs)
  return swapped === undefined ? undefined : `On generated inputs, ${swapped}.`
}

// Far from real data a deep network can turn rounding into another answer on some inputs (measured: an EfficientNet's
// logit moved by 22 for a change of 1e-6, and its float32 file, 101 dB on pictures, answered 1 for 0). Another function
// differs on nearly all.
const leftOut = 0.4

/** Both without the samples that differ most. */
function withoutWorst(reference: OutputSamples, candidate: OutputSamples): [OutputSamples, OutputSamples] {
  const { elements } = reference
  const errors = Array.from({ length: reference.values.length / elements }, (_, sample) => {
    let error = 0
    for (let at = sample * elements; at < (sample + 1) * elements; at++) {
      error += ((candidate.values[at] as number) - (reference.values[at] as number)) ** 2
    }
    return { sample, error }
  })
  const kept = errors.sort((a, b) => a.error - b.error).slice(0, Math.ceil(errors.length * (1 - leftOut)))
  const pick = (output: OutputSamples): OutputSamples => {
    const values = new Float64Array(kept.length * elements)
    for (const [index, { sample }] of kept.entries()) {
      for (let at = 0; at < elements; at++)
        values[index * elements + at] = output.values[sample * elements + at] as number
    }
    return { ...output, values }
  }
  return [pick(reference), pick(candidate)]
}
