import { parseRecipe } from './recipe.ts'
import type { Tolerance, VariantName } from './types.ts'

/**
 * What separated good variants from broken ones on real models. The allowed accuracy drops leave room for one or two
 * samples of a small labelled set to change sides.
 *
 * float32: a sound MobileNetV2 had 86 dB and a maximum error of 9e-5 of the range on 80 samples, more than 1e-4 on 240:
 * fifty layers pass rounding on. A float16 file that claims to be float32 had at most 72 dB. The maximum is for single
 * wrong elements, which no mean shows.
 */
export const DEFAULT_TOLERANCES: Readonly<Record<VariantName, Readonly<Tolerance>>> = {
  float32: { minSnrDb: 80, maxAbsErrorOfRange: 1e-3, minAgreement: 1, maxAccuracyDrop: 0.01 },
  float16: { minSnrDb: 30, minAgreement: 0.99, maxAccuracyDrop: 0.02 },
  dynamic_int8: { minSnrDb: 12, minAgreement: 0.95, maxAccuracyDrop: 0.03 },
  full_int8: { minSnrDb: 10, minAgreement: 0.95, maxAccuracyDrop: 0.03 },
  int16x8: { minSnrDb: 12, minAgreement: 0.95, maxAccuracyDrop: 0.03 }
}

/** Uploaded samples below this number prove nothing. */
export const MINIMUM_PROOF_SAMPLES = 64

/**
 * Where an output decides nothing, or seldom clearly, no agreement stands beside the SNR, which then has to say more.
 * At 10 dB the error is a third of what the output varies by: right for a face, and twice the error of a regression. At
 * 20 dB it is a tenth. Measured on two regressions: all good quantized variants had 34 dB or more, all that erred by a
 * tenth more than the original had less than 18 dB (docs/conversion.md, mutation table).
 */
const undecidedSnrDb = 20
/** Decisions are worth their agreement where at least this share of them is clear. */
const decidedShare = 0.25

/**
 * The defaults with the request's values over them. On generated data errors say nothing about real inputs: there only
 * what no recipe excuses is refused (structure.ts).
 *
 * @param decided share of the output's decisions that are clear.
 */
export function toleranceFor(
  variant: VariantName,
  data: 'uploaded' | 'generated',
  overrides: Tolerance = {},
  decided = 1
): Tolerance {
  if (data === 'generated') return {}
  const defaults = DEFAULT_TOLERANCES[variant]
  const minSnrDb = defaults.minSnrDb ?? Number.NEGATIVE_INFINITY
  const stricter = decided < decidedShare && minSnrDb < undecidedSnrDb ? { minSnrDb: undecidedSnrDb } : {}
  return { ...defaults, ...stricter, ...overrides }
}

/** One tolerance for every kind of variant among the recipes; a ready .tflite file (`original`) has none. */
export function toleranceForAll(
  recipes: readonly string[],
  tolerance: Tolerance
): Partial<Record<VariantName, Tolerance>> {
  const made = recipes.filter((recipe) => recipe !== 'original')
  return Object.fromEntries(made.map((recipe) => [parseRecipe(recipe).variant, tolerance]))
}
