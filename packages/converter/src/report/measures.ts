import type { Parity, ParityOutput, VariantResult } from '../types.ts'

/** Infinity where nothing differs; undefined where the measure has no meaning (NaN, a constant original). */
export function snrDbOf({ snrDb, maxAbsError }: ParityOutput): number | undefined {
  if (snrDb !== null) return snrDb
  return maxAbsError === 0 ? Number.POSITIVE_INFINITY : undefined
}

/** Over the outputs. */
export function worstSnrDb(parity: Parity | undefined): number | undefined {
  const values = parity?.outputs.map(snrDbOf) ?? []
  const known = values.filter((value) => value !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}

export function worstOf(
  parity: Parity | undefined,
  measure: 'agreement' | 'agreementTop5',
  pick: (...values: number[]) => number
): number | undefined {
  return extreme(parity?.outputs.map((output) => output[measure]) ?? [], pick)
}

export function largestError(parity: Parity | undefined, measure: 'maxAbsError' | 'meanAbsError'): number | undefined {
  return extreme(parity?.outputs.map((output) => output[measure]) ?? [], Math.max)
}

function extreme(values: readonly (number | null | undefined)[], pick: (...values: number[]) => number) {
  const known = values.filter((value) => typeof value === 'number')
  return known.length === 0 ? undefined : pick(...known)
}

/** On the fastest runtime that ran it. */
export function bestP50Ms({ runtimes }: VariantResult): number | undefined {
  const known = runtimes.map(({ p50Ms }) => p50Ms).filter((value) => value !== undefined && Number.isFinite(value))
  return known.length === 0 ? undefined : Math.min(...(known as number[]))
}

/** The file that sizes are compared with. */
export function floatBytes(variants: readonly VariantResult[]): number | undefined {
  return variants.find(({ variant }) => variant === 'float32')?.bytes
}
