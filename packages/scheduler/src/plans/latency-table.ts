import { gaussianFill } from '../profiles/gaussian-fill.ts'
import { twoWay } from '../profiles/two-way.ts'

/** What one kind of device (equal hardware and runtime) took for one artifact: mean logarithm of milliseconds. */
export type MeasuredCell = { kind: string; artifact: string; logMs: number }
export type LogLatency = { logMs: number; logSd: number }

/** Kinds that every fill learns from, and further ones that are filled beside them at a time: the cost grows cubed. */
const ANCHORS = 12
const BATCH = 10
/** Artifacts beside those asked about, the most measured first. */
const OTHER_ARTIFACTS = 32
/** Of a kind that never ran anything: kinds of edge devices differ by about this log sd, before anything was measured. */
const PRIOR_KIND_VARIANCE = 1
/**
 * How far artifacts differ beyond what kinds and work tell (float32 and int16x8 of one model: fifty times), before a row
 * and a column told more: from few cells `gaussianFill` learns too small a variance.
 */
const PRIOR_PAIR_VARIANCE = 1

/**
 * Latency by kind of device and artifact, from what was measured, for pairs that never ran.
 *
 * `gaussianFill` learns which kinds are alike. The artifacts' multiply-accumulates are one more row of the table: an
 * artifact that never ran anywhere is thereby placed among those that did, by as much as work has told so far. A kind
 * that never ran anything gets the average of the others, with the spread between kinds in its uncertainty.
 */
export class LatencyTable {
  readonly #cells = new Map<string, Map<string, number>>()
  readonly #artifacts: string[]
  readonly #columnOf: ReadonlyMap<string, number>
  readonly #workRow: Map<string, number> | null
  readonly #anchors: string[]
  readonly #kindVariance: number
  /** Kinds that ran an artifact. */
  readonly #kindsOf = new Map<string, number>()
  /** By kind; the empty name stands for all that never ran. */
  readonly #filled = new Map<string, { mean: Float64Array; sd: Float64Array }>()
  readonly #batches: string[][] = []

  /** `macs`: multiply-accumulates by artifact, where known. `asked` artifacts are always columns. */
  constructor(cells: readonly MeasuredCell[], asked: Iterable<string>, macs: ReadonlyMap<string, number> = new Map()) {
    const times = new Map<string, number>()
    for (const { artifact } of cells) times.set(artifact, (times.get(artifact) ?? 0) + 1)
    const wanted = new Set(asked)
    const others = [...times.keys()]
      .filter((artifact) => !wanted.has(artifact))
      .sort((a, b) => (times.get(b) as number) - (times.get(a) as number) || (a < b ? -1 : 1))
    this.#artifacts = [...wanted, ...others.slice(0, OTHER_ARTIFACTS)]
    this.#columnOf = new Map(this.#artifacts.map((artifact, column) => [artifact, column]))
    for (const { kind, artifact, logMs } of cells) {
      if (!this.#columnOf.has(artifact)) continue
      const row = this.#cells.get(kind) ?? new Map<string, number>()
      if (!row.has(artifact)) this.#kindsOf.set(artifact, (this.#kindsOf.get(artifact) ?? 0) + 1)
      this.#cells.set(kind, row.set(artifact, logMs))
    }
    this.#workRow = workRow(this.#cells, this.#artifacts, macs)
    const kinds = [...this.#cells.keys()].sort(
      (a, b) => (this.#cells.get(b)?.size ?? 0) - (this.#cells.get(a)?.size ?? 0) || (a < b ? -1 : 1)
    )
    this.#anchors = kinds.slice(0, ANCHORS)
    for (let at = ANCHORS; at < kinds.length; at += BATCH) this.#batches.push(kinds.slice(at, at + BATCH))
    this.#kindVariance = this.#spreadOfKinds()
  }

  /** Mean logarithm of what this kind measured, null where it never ran. */
  measured(kind: string, artifact: string): number | null {
    return this.#cells.get(kind)?.get(artifact) ?? null
  }

  /** Of one run: `logSd` covers the prediction and a run's own noise. Null while nothing was measured at all. */
  predict(kind: string, artifact: string): LogLatency | null {
    const column = this.#columnOf.get(artifact)
    if (column === undefined || this.#cells.size === 0) return null
    const row = this.#cells.get(kind)
    const { mean, sd } = this.#rowOf(row === undefined ? '' : kind)
    const logMs = mean[column] as number
    const own = sd[column] as number
    if (row?.has(artifact)) return { logMs, logSd: own }
    const cells = Math.min(row?.size ?? 0, this.#kindsOf.get(artifact) ?? 0)
    const unlearnt = PRIOR_PAIR_VARIANCE / (1 + cells) + (row === undefined ? this.#kindVariance : 0)
    return { logMs, logSd: Math.sqrt(own ** 2 + unlearnt) }
  }

  #rowOf(kind: string): { mean: Float64Array; sd: Float64Array } {
    const done = this.#filled.get(kind)
    if (done !== undefined) return done
    const batch = this.#batches.find((kinds) => kinds.includes(kind)) ?? []
    const kinds = [...this.#anchors, ...batch]
    const rows = [...kinds.map((each) => this.#cells.get(each)), undefined, ...(this.#workRow ? [this.#workRow] : [])]
    const columns = this.#artifacts.length
    const { logMs, count } = this.#flat(rows)
    const { mean, sd } = gaussianFill(logMs, count, rows.length, columns)
    for (const [row, name] of [...kinds, ''].entries())
      if (!this.#filled.has(name))
        this.#filled.set(name, {
          mean: mean.subarray(row * columns, (row + 1) * columns),
          sd: sd.subarray(row * columns, (row + 1) * columns)
        })
    return this.#filled.get(kind) as { mean: Float64Array; sd: Float64Array }
  }

  #flat(rows: readonly (ReadonlyMap<string, number> | undefined)[]): { logMs: Float64Array; count: Float64Array } {
    const columns = this.#artifacts.length
    const logMs = new Float64Array(rows.length * columns)
    const count = new Float64Array(rows.length * columns)
    for (const [row, cells] of rows.entries())
      for (const [artifact, value] of cells ?? []) {
        const cell = row * columns + (this.#columnOf.get(artifact) as number)
        logMs[cell] = value
        count[cell] = 1
      }
    return { logMs, count }
  }

  #spreadOfKinds(): number {
    const rows = [...this.#cells.values()]
    if (rows.length < 2) return PRIOR_KIND_VARIANCE
    const { logMs, count } = this.#flat(rows)
    const { kindEffect } = twoWay(logMs, count, rows.length, this.#artifacts.length)
    const middle = kindEffect.reduce((sum, effect) => sum + effect, 0) / rows.length
    const squares = kindEffect.reduce((sum, effect) => sum + (effect - middle) ** 2, 0)
    return (squares + PRIOR_KIND_VARIANCE) / rows.length
  }
}

/** Logarithms of the work, shifted to the middle of the measured latencies so that no kind's mean is pulled away. */
function workRow(
  cells: ReadonlyMap<string, ReadonlyMap<string, number>>,
  artifacts: readonly string[],
  macs: ReadonlyMap<string, number>
): Map<string, number> | null {
  const logs = new Map<string, number>()
  for (const artifact of artifacts) {
    const work = macs.get(artifact)
    if (work !== undefined && work > 0) logs.set(artifact, Math.log(work))
  }
  let shift = 0
  let both = 0
  for (const row of cells.values())
    for (const [artifact, logMs] of row) {
      const work = logs.get(artifact)
      if (work === undefined) continue
      shift += logMs - work
      both += 1
    }
  if (both === 0) return null
  return new Map([...logs].map(([artifact, work]) => [artifact, work + shift / both]))
}
