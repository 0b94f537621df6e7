import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { POLICY_NAMES, policyOf, report, simulate, upperBound, type Workload } from '../src/index.ts'
import { NO_NOISE, smallWorkloads, workloadOf } from './small-worlds.ts'

const goodput = (name: string, workload: Workload, noise: number, seed: number) =>
  report(name, workload, simulate(workload, policyOf(name, seed), { seed, ...NO_NOISE, noise })).goodputPercent

describe('the upper bound', () => {
  it('is not beaten by any policy where runs take the table time', () => {
    fc.assert(
      fc.property(smallWorkloads, fc.constantFrom(...POLICY_NAMES), (workload, name) => {
        const { goodputPercent } = upperBound(workload, { noise: 0, slices: 50, rounds: 30 })
        expect(goodput(name, workload, 0, 1)).toBeLessThanOrEqual(goodputPercent + 1e-6)
      }),
      { numRuns: 300 }
    )
  })

  it('is not beaten on average under noise', () => {
    for (const patienceMs of [12, 25]) {
      const requests = Array.from({ length: 200 }, (_, i): [number, number] => [i * 2, i * 2 + patienceMs])
      const workload = workloadOf([[10, 14]], [0, 1, 0], requests)
      const { goodputPercent } = upperBound(workload, { noise: 0.15, slices: 200, rounds: 200 })
      for (const name of ['predicted-finish-refuse', 'late-edf', 'skerry']) {
        const seeds = Array.from({ length: 12 }, (_, seed) => goodput(name, workload, 0.15, seed))
        expect(seeds.reduce((a, b) => a + b, 0) / seeds.length, name).toBeLessThanOrEqual(goodputPercent + 0.3)
      }
    }
  })

  it('is near the truth where time plainly does not suffice', () => {
    // Ten at once, room for two one after the other.
    const crowd = workloadOf([[10]], [0], Array(10).fill([0, 20]))
    const { goodputPercent } = upperBound(crowd, { noise: 0, slices: 100, rounds: 200 })
    expect(goodputPercent).toBeGreaterThanOrEqual(20)
    expect(goodputPercent).toBeLessThan(25)
    // A deadline that no device can meet.
    const late = workloadOf([[10]], [0], [...Array(5).fill([0, 9]), ...Array(5).fill([100, 1000])])
    expect(upperBound(late, { noise: 0, slices: 100, rounds: 10 }).goodputPercent).toBe(50)
  })

  it('knows that a request needs a device that holds its model', () => {
    const workload = workloadOf([[0, 10]], [0, 0, 0, 0, 1], Array(10).fill([0, 20]))
    expect(upperBound(workload, { noise: 0, slices: 100, rounds: 200 }).goodputPercent).toBeLessThan(25)
  })
})
