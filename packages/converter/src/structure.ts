import type { NamedArray } from './array.ts'
import { measureOutput } from './parity.ts'
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
    if (excused !== undefined && snrDb < floatSnrDb && rmsError > excused * magnitude) {
      return `${name}: SNR ${snrDb.toFixed(1)} dB on generated inputs (at least ${floatSnrDb}), which is another function.`
    }
  }
  const swapped = findSwappedOutputs(outputs) ?? findSwappedInputs(samples, outputs)
  return swapped === undefined ? undefined : `On generated inputs, ${swapped}.`
}
