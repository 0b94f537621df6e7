import type { ConversionResult, Parity, VariantState } from '@skerry/converter'

/** What one variant of one model came to. */
export type ZooRow = {
  variant: string
  state: VariantState
  reason?: string
  bytes?: number
  /** Of the worst output, dB; `equal` where nothing differs. */
  snrDb?: number | 'equal'
  /** Of the worst output, 0 to 1. */
  agreement?: number
  accuracy?: { original: number; variant: number }
  /** The way of making it that worked, and how many were tried. */
  way?: string
  tried?: number
  converterMs?: number
  runtimes: { name: string; runnable: boolean; p50Ms?: number; reason?: string }[]
}

export type OracleRow = { file: string; output: string; snrDb: number | null; agreement: number | null; bytes: number }

/** What one model came to. */
export type ZooRecord = {
  model: string
  group: string
  origin: string
  license: string
  format: string
  /** Of what it was made from and by; a record of another key is of no use. */
  key: string
  sourceBytes: number
  seconds: number
  /** Set when the source was refused whole. */
  refused?: { code: string; message: string }
  warnings: string[]
  rows: ZooRow[]
  oracle: OracleRow[]
}

export function rowsOf({ variants }: ConversionResult): ZooRow[] {
  return variants.map((each) => {
    const converted = each.attempts?.findLast(({ outcome }) => outcome === 'converted')
    const accuracy = each.parity?.accuracy
    return {
      variant: each.variant,
      state: each.state,
      ...(each.reason === undefined ? {} : { reason: each.reason }),
      ...(each.bytes === undefined ? {} : { bytes: each.bytes }),
      ...measuresOf(each.parity),
      ...(accuracy === undefined ? {} : { accuracy }),
      ...(converted === undefined ? {} : { way: converted.way }),
      ...(each.attempts === undefined ? {} : { tried: each.attempts.length }),
      ...(each.converterMs === undefined ? {} : { converterMs: each.converterMs }),
      runtimes: each.runtimes.map(({ name, runnable, p50Ms, reason }) => ({
        name,
        runnable,
        ...(p50Ms === undefined ? {} : { p50Ms }),
        ...(reason === undefined ? {} : { reason })
      }))
    }
  })
}

/** Measures on generated data say nothing, so they are not shown. */
function measuresOf(parity: Parity | undefined): Pick<ZooRow, 'snrDb' | 'agreement'> {
  if (parity === undefined || parity.data !== 'uploaded') return {}
  const ratios = parity.outputs.map(({ snrDb }) => snrDb).filter((value) => value !== null)
  const shares = parity.outputs.map(({ agreement }) => agreement).filter((value) => typeof value === 'number')
  const equal = parity.outputs.every(({ maxAbsError }) => maxAbsError === 0)
  return {
    ...(equal ? { snrDb: 'equal' as const } : ratios.length === 0 ? {} : { snrDb: Math.min(...ratios) }),
    ...(shares.length === 0 ? {} : { agreement: Math.min(...shares) })
  }
}
