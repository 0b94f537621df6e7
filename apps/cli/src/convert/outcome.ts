import type { Parity, VariantRuntime } from '@skerry/contracts'
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

const megabytes = (bytes: number | undefined): string => (bytes === undefined ? '-' : `${(bytes / 1e6).toFixed(2)} MB`)
const share = (value: number | null | undefined): string => (typeof value === 'number' ? value.toFixed(3) : '-')

/** The table after a conversion; under it why each variant that is not ready is not. */
export function outcomeText(variants: readonly ShownVariant[], warnings: readonly string[], outDir: string): string {
  const table = renderTable(
    ['variant', 'state', 'size', 'SNR', 'agreement', 'accuracy', 'original', 'p50'],
    variants.map((variant) => {
      // The worst output speaks for the variant.
      const outputs = [...(variant.parity?.outputs ?? [])]
      const worst = outputs.sort((a, b) => (a.snrDb ?? Infinity) - (b.snrDb ?? Infinity))[0]
      const fastest = (variant.runtimes ?? []).flatMap(({ p50Ms }) => p50Ms ?? []).sort((a, b) => a - b)[0]
      return [
        variant.variant,
        variant.state,
        megabytes(variant.bytes),
        worst === undefined ? '-' : worst.snrDb === null ? 'equal' : `${worst.snrDb.toFixed(1)} dB`,
        share(worst?.agreement),
        share(variant.parity?.accuracy?.variant),
        share(variant.parity?.accuracy?.original),
        fastest === undefined ? '-' : `${fastest.toFixed(2)} ms`
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
