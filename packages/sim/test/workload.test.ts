import { describe, expect, it } from 'vitest'
import { completeModels, makeWorkload, parseArrivals, parseLatencyTable, report } from '../src/index.ts'
import { tableOf, workloadOf } from './small-worlds.ts'

const trace = Float64Array.from({ length: 5000 }, (_, i) => i * 7 + (i % 3))
const options = { devices: 6, requests: 0, load: 0.8, deadline: 5, capacity: 'asked', seed: 1 } as const

describe('a workload', () => {
  it('has the load times the capacity: the sum over devices of one over its mean latency', () => {
    const table = tableOf([
      [10, 40],
      [30, 0]
    ])
    const rows = makeWorkload(table, trace, { ...options, capacity: 'rows' })
    expect(rows.capacityPerSecond).toBeCloseTo(1000 * (3 / 20 + 3 / 40), 9)
    const perSecond = (1000 * rows.arrivalMs.length) / (rows.arrivalMs[rows.arrivalMs.length - 1] as number)
    expect(perSecond).toBeCloseTo(0.8 * rows.capacityPerSecond, 9)
    // Over what is asked for, the first in Zipf's order counts twice as much as the second.
    const asked = makeWorkload(table, trace, options).capacityPerSecond
    const either = [(10 * 2 + 30) / 3, (10 + 30 * 2) / 3].map((mean) => 1000 * (3 / mean + 3 / 40))
    expect(either.some((each) => Math.abs(each - asked) < 1e-6)).toBe(true)
  })

  it('draws models by Zipf, in an order by the seed, and none that no device holds', () => {
    const table = tableOf([[10], [10], [10], [10], [0]])
    const shares = (seed: number) => {
      const counts = Array(5).fill(0)
      for (const m of makeWorkload(table, trace, { ...options, seed }).model) counts[m] += 1 / trace.length
      return counts as number[]
    }
    const total = 1 + 1 / 2 + 1 / 3 + 1 / 4
    const sorted = shares(1).sort((a, b) => b - a)
    for (const [rank, share] of [1, 1 / 2, 1 / 3, 1 / 4, 0].entries())
      expect(sorted[rank]).toBeCloseTo(share / total, 1)
    expect(shares(1)[4]).toBe(0)
    const orders = new Set([1, 2, 3, 4, 5].map((seed) => shares(seed).indexOf(Math.max(...shares(seed)))))
    expect(orders.size).toBeGreaterThan(1)
  })

  it('gives each request the multiple of its model’s median latency over the devices that hold it', () => {
    const table = tableOf([
      [10, 20, 90],
      [4, 0, 8]
    ])
    const { arrivalMs, deadlineMs, model } = makeWorkload(table, trace, { ...options, deadline: 2 })
    for (const i of [0, 1, 2, 3, 4999])
      expect((deadlineMs[i] as number) - (arrivalMs[i] as number)).toBeCloseTo(model[i] === 0 ? 40 : 12, 6)
  })

  it('repeats the trace when more is asked for, in order', () => {
    const { arrivalMs } = makeWorkload(tableOf([[10]]), trace, { ...options, requests: 12_000 })
    expect(arrivalMs.length).toBe(12_000)
    expect(arrivalMs.every((ms, i) => i === 0 || ms >= (arrivalMs[i - 1] as number))).toBe(true)
  })
})

describe('the tables', () => {
  it('are read in both forms; a pair without a row is one that cannot run', () => {
    const phones = parseLatencyTable(
      'model,component,precision,device,latency_ms,compute_unit\na,A,float,P,1.5,NPU\na,A,float,Q,3,NPU\nb,B,w8a8,P,2,CPU\n'
    )
    expect(phones).toMatchObject({ models: ['a/A/float', 'b/B/w8a8'], devices: ['P', 'Q'] })
    expect([...phones.ms]).toEqual([1.5, 3, 2, Number.NaN])
    const boards = parseLatencyTable('model,input,kind,threads,device,latency_mean_ms\nm,300,INT8,2,Pi,7\n')
    expect(boards).toMatchObject({ models: ['m/300/INT8'], devices: ['Pi x2'] })
    expect(completeModels(phones)).toMatchObject({ models: ['a/A/float'], ms: Float64Array.of(1.5, 3) })
    expect([...parseArrivals('arrival_s\n0.0\n0.25\n')]).toEqual([0, 250])
  })
})

describe('a report', () => {
  it('counts missed and refused apart, and the worst model only among those with at least 50 requests', () => {
    const requests = [
      ...Array.from({ length: 60 }, (): [number, number, number] => [0, 10, 0]),
      ...Array.from({ length: 49 }, (): [number, number, number] => [0, 10, 1])
    ]
    const workload = workloadOf([[5], [5]], [0], requests)
    const finishedMs = Float64Array.from(requests, ([, , m], i) => (m === 1 ? 99 : i < 6 ? 11 : 10))
    const refused = Uint8Array.from(requests, ([, , m], i) => (m === 0 && i >= 54 ? 1 : 0))
    const own = report('x', workload, { finishedMs, refused })
    expect(own.worstModelFailedPercent).toBeCloseTo(20, 9)
    expect(own.missedPercent).toBeCloseTo((100 * 55) / 109, 9)
    expect(own.refusedPercent).toBeCloseTo((100 * 6) / 109, 9)
    expect(own.goodputPercent).toBeCloseTo((100 * 48) / 109, 9)
  })
})
