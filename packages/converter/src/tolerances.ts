import type { Tolerance, VariantName } from './types.ts'

/**
 * What separated good variants from broken ones on real models. The allowed accuracy drops leave room for one or two
 * samples of a small labelled set to change sides.
 */
export const DEFAULT_TOLERANCES: Readonly<Record<VariantName, Readonly<Tolerance>>> = {
  float32: { minSnrDb: 80, maxAbsErrorOfRange: 1e-4, minAgreement: 1, maxAccuracyDrop: 0.01 },
  float16: { minSnrDb: 30, minAgreement: 0.99, maxAccuracyDrop: 0.02 },
  dynamic_int8: { minSnrDb: 12, minAgreement: 0.95, maxAccuracyDrop: 0.03 },
  full_int8: { minSnrDb: 10, minAgreement: 0.95, maxAccuracyDrop: 0.03 },
  int16x8: { minSnrDb: 12, minAgreement: 0.95, maxAccuracyDrop: 0.03 }
}

/** Uploaded samples below this number prove nothing. */
export const MINIMUM_PROOF_SAMPLES = 64

// Float variants compute the same function on any data; a lost weight or a swapped tensor leaves far less than this.
const structuralSnrDb = 20

/**
 * The defaults with the request's values over them. On generated data quantization says nothing about real inputs, so
 * there only what no recipe excuses is refused.
 */
export function toleranceFor(
  variant: VariantName,
  data: 'uploaded' | 'generated',
  overrides: Tolerance = {}
): Tolerance {
  if (data === 'uploaded') return { ...DEFAULT_TOLERANCES[variant], ...overrides }
  return variant === 'float32' || variant === 'float16' ? { minSnrDb: structuralSnrDb } : {}
}
