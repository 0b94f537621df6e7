import type { Parity, VariantRuntime } from '@skerry/contracts'
import { decibels, megabytes, milliseconds, share } from '../cells.ts'
import { renderTable } from '../table.ts'

/** What is shown of a variant, wherever it was converted. */
export type ShownVariant = {
  variant: string
  state: string
  reason?: string
  bytes?: number
  parity?: Parity
  runtimes?: readonly VariantRuntime[]
}

/** An SNR of null is infinite where nothing differs, and has no meaning (NaN, a constant reference) elsewhere. */
const rankOf = ({ snrDb, maxAbsError }: Parity['outputs'][number]): number =>
  snrDb ?? (maxAbsError === 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY)

/** The table after a conversion; under it why each variant that is not ready is not. */
export function outcomeText(variants: readonly ShownVariant[], warnings: readonly string[], outDir: string): string {
  const table = renderTable(
    ['variant', 'state', 'size', 'SNR', 'agreement', 'accuracy', 'original', 'p50'],
    variants.map((variant) => {
      // The worst output speaks for the variant.
      const worst = variant.parity?.outputs.toSorted((a, b) => (rankOf(a) < rankOf(b) ? -1 : 1))[0]
      const fastest = (variant.runtimes ?? []).flatMap(({ p50Ms }) => p50Ms ?? []).sort((a, b) => a - b)[0]
      return [
        variant.variant,
        variant.state,
        megabytes(variant.bytes),
        worst?.maxAbsError === 0 ? 'equal' : decibels(worst?.snrDb),
        share(worst?.agreement),
        share(variant.parity?.accuracy?.variant),
        share(variant.parity?.accuracy?.original),
        milliseconds(fastest)
      ]
    })
  )
  const reasons = variants.flatMap(({ variant, reason }) => (reason === undefined ? [] : [`${variant}: ${reason}`]))
  const notes = [...reasons, ...warnings.map((warning) => `warning: ${warning}`)]
  return [table, ...(notes.length === 0 ? [] : ['', ...notes]), '', `Files are in ${outDir}`].join('\n')
}

/** 0 unless nothing that was asked for may be used. */
export function exitCodeOf(variants: readonly ShownVariant[]): number {
  return variants.some(({ state }) => state === 'ready' || state === 'unproven') ? 0 : 1
}
