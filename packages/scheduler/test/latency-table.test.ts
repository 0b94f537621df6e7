import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { benchmarkQuantiles, LatencyTable, type MeasuredCell, optimisticMs, predictedQuantiles } from '../src/index.ts'

/** Kinds that differ by a factor each, artifacts that differ by a factor each. */
const additive = (
  kinds: number,
  artifacts: number,
  isSeen: (kind: number, artifact: number) => boolean
): MeasuredCell[] =>
  Array.from({ length: kinds }, (_, kind) => Array.from({ length: artifacts }, (__, artifact) => ({ kind, artifact })))
    .flat()
    .filter(({ kind, artifact }) => isSeen(kind, artifact))
    .map(({ kind, artifact }) => ({ kind: `k${kind}`, artifact: `a${artifact}`, logMs: truth(kind, artifact) }))
const truth = (kind: number, artifact: number) => Math.log(1 + kind) + Math.log(2 + 3 * artifact)
const names = (count: number) => Array.from({ length: count }, (_, a) => `a${a}`)

describe('the table of latencies by kind and artifact', () => {
  it('predicts a pair that never ran from the artifact elsewhere and the kind otherwise', () => {
    const table = new LatencyTable(
      additive(6, 8, (kind, artifact) => (kind + artifact) % 3 !== 0),
      names(8)
    )
    for (let kind = 0; kind < 6; kind++)
      for (let artifact = 0; artifact < 8; artifact++) {
        const { logMs, logSd } = table.predict(`k${kind}`, `a${artifact}`) ?? { logMs: Number.NaN, logSd: Number.NaN }
        expect(Math.abs(logMs - truth(kind, artifact))).toBeLessThan(0.4)
        expect(Math.abs(logMs - truth(kind, artifact))).toBeLessThan(2.5 * logSd)
      }
  })

  it('predicts every kind by its own row, also where there are more of them than one fill takes', () => {
    const table = new LatencyTable(
      additive(40, 6, (kind, artifact) => (kind + artifact) % 3 !== 0),
      names(6)
    )
    for (let kind = 0; kind < 40; kind++)
      expect(Math.abs((table.predict(`k${kind}`, 'a1')?.logMs ?? 0) - truth(kind, 1))).toBeLessThan(0.5)
  })

  it('places an artifact that never ran anywhere by its multiply-accumulates', () => {
    const cells = additive(3, 6, () => true)
    const macs = new Map([
      ...names(6).map((name, a) => [name, 1e6 * (2 + 3 * a)] as const),
      ['tiny', 5e5],
      ['huge', 1e8]
    ])
    const table = new LatencyTable(cells, ['tiny', 'huge'], macs)
    const blind = new LatencyTable(cells, ['tiny', 'huge'])
    const at = (from: LatencyTable, artifact: string) => from.predict('k1', artifact)?.logMs ?? 0
    expect(at(table, 'huge') - at(table, 'tiny')).toBeGreaterThan(2)
    expect(at(blind, 'huge') - at(blind, 'tiny')).toBeCloseTo(0)
    // Knowing the work of the artifacts leaves the kinds where they were measured.
    expect(Math.abs((table.predict('k2', 'a3')?.logMs ?? truth(2, 3)) - truth(2, 3))).toBeLessThan(0.2)
  })

  it('is unsure of an artifact beside the only one that ran, where nothing could be learnt yet', () => {
    const one = new LatencyTable([{ kind: 'k', artifact: 'a', logMs: Math.log(40) }], ['a', 'b'])
    expect(one.predict('k', 'a')?.logSd ?? 0).toBeLessThan(0.4)
    expect(one.predict('k', 'b')?.logSd ?? 0).toBeGreaterThan(1)
    const many = new LatencyTable(
      additive(8, 8, (kind, artifact) => kind !== 7 || artifact !== 7),
      names(8)
    )
    expect(many.predict('k7', 'a7')?.logSd ?? 9).toBeLessThan(0.6)
  })

  it('is less sure of a kind that never ran anything, and silent while nothing ran at all', () => {
    const table = new LatencyTable(
      additive(4, 5, () => true),
      names(5)
    )
    const known = table.predict('k1', 'a1')
    const unknown = table.predict('new', 'a1')
    expect(unknown?.logSd ?? 0).toBeGreaterThan(2 * (known?.logSd ?? 0))
    const middle = [0, 1, 2, 3].reduce((sum, kind) => sum + truth(kind, 1) / 4, 0)
    expect(Math.abs((unknown?.logMs ?? 0) - middle)).toBeLessThan(0.3)
    // What the artifacts' work is counted in says nothing of how fast the kind is.
    const macs = new Map(names(5).map((name, a) => [name, 1e9 * (2 + 3 * a)]))
    const counted = new LatencyTable(
      additive(4, 5, () => true),
      names(5),
      macs
    )
    expect(Math.abs((counted.predict('new', 'a1')?.logMs ?? 0) - middle)).toBeLessThan(0.3)
    // Kinds that differ a thousandfold leave a new one open by as much.
    const unlike = [0, 1, 2, 3].map((k) => ({ kind: `k${k}`, artifact: 'a', logMs: k * Math.log(10) }))
    expect(new LatencyTable(unlike, ['a']).predict('new', 'a')?.logSd ?? 0).toBeGreaterThan(2.5)
    expect(new LatencyTable([], ['a'], new Map([['a', 1e6]])).predict('k', 'a')).toBeNull()
    expect(table.predict('k1', 'not asked for')).toBeNull()
  })
})

describe('quantiles', () => {
  const ms = fc.double({ min: 0.01, max: 1e4, noNaN: true })

  it('ascend, whatever a benchmark or a prediction tells', () => {
    fc.assert(
      fc.property(
        ms,
        fc.option(ms),
        ms,
        fc.double({ min: 0.01, max: 3, noNaN: true }),
        (p50Ms, p95Ms, p99Ms, logSd) => {
          for (const q of [
            benchmarkQuantiles({ p50Ms, p95Ms, p99Ms }),
            predictedQuantiles({ logMs: Math.log(p50Ms), logSd })
          ]) {
            const all = [q.p50Ms, q.p90Ms, q.p95Ms, q.p99Ms]
            expect(all.every(Number.isFinite)).toBe(true)
            for (let i = 1; i < 4; i++) expect(all[i]).toBeGreaterThanOrEqual((all[i - 1] as number) * (1 - 1e-9))
            expect(q.p50Ms).toBeCloseTo(p50Ms, 6)
            expect(optimisticMs(q)).toBeLessThanOrEqual(q.p50Ms * (1 + 1e-9))
          }
        }
      )
    )
  })

  it('of a benchmark keep what it measured', () => {
    expect(benchmarkQuantiles({ p50Ms: 10, p95Ms: 12, p99Ms: 20 })).toMatchObject({ p95Ms: 12, p99Ms: 20 })
    const old = benchmarkQuantiles({ p50Ms: 10, p95Ms: null, p99Ms: 20 })
    expect(old.p95Ms).toBeGreaterThan(15)
    expect(old.p95Ms).toBeLessThan(17)
  })
})
