import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ColdStarts, noiseSteps, POLICY_NAMES, policyOf, report, runNoise, simulate } from '../src/index.ts'
import { NO_NOISE, smallWorkloads, workloadOf } from './small-worlds.ts'

const NAMES = [...POLICY_NAMES, 'late-edf-own']
const disturbances = fc.record({
  seed: fc.integer({ min: 0, max: 1e6 }),
  churn: fc.constantFrom(0, 0.5),
  drift: fc.constantFrom(0, 0.5),
  driftFactor: fc.constant(5),
  noise: fc.constantFrom(0, 0.15),
  memoryModels: fc.constantFrom(0, 1),
  absent: fc.constantFrom(0, 0.5)
})

describe('the world', () => {
  it('ends each request exactly once, under every policy and disturbance, and never before it can', () => {
    fc.assert(
      fc.property(smallWorkloads, disturbances, fc.constantFrom(...NAMES), (workload, options, name) => {
        // That a device is never oversold and no request ends twice are errors of the world itself.
        const outcome = simulate(workload, policyOf(name, options.seed), options)
        const own = report(name, workload, outcome)
        expect(own.goodputPercent + own.missedPercent + own.refusedPercent).toBeCloseTo(100, 9)
        outcome.finishedMs.forEach((ms, i) => {
          expect(Number.isFinite(ms) !== (outcome.refused[i] === 1)).toBe(true)
          if (options.noise === 0) {
            const kinds = workload.table.devices.length
            const m = workload.model[i] as number
            const row = workload.table.ms.subarray(m * kinds, (m + 1) * kinds).filter((each) => each > 0)
            expect(ms).toBeGreaterThanOrEqual((workload.arrivalMs[i] as number) + Math.min(...row) - 1e-9)
          }
        })
      }),
      { numRuns: 300 }
    )
  })

  it('has nothing missed, only refused, where the policy knows its times and nothing disturbs them', () => {
    fc.assert(
      fc.property(
        smallWorkloads,
        fc.constantFrom('predicted-finish-refuse', 'late-edf', 'late-edf-own', 'skerry'),
        (workload, name) => {
          const outcome = simulate(workload, policyOf(name, 1), { seed: 1, ...NO_NOISE })
          // Predictions go by logarithms and back, so a finish may miss its own prediction by rounding.
          outcome.finishedMs.forEach((ms, i) => {
            if (outcome.refused[i] === 0) expect(ms).toBeLessThanOrEqual((workload.deadlineMs[i] as number) + 1e-6)
          })
        }
      ),
      { numRuns: 300 }
    )
  })

  it('is the same for the same seed, and another for another', () => {
    const requests = Array.from({ length: 60 }, (_, i): [number, number] => [i * 4, i * 4 + 40])
    const workload = workloadOf([[10, 30]], [0, 1, 0], requests)
    for (const name of NAMES) {
      const run = (seed: number) => [
        ...simulate(workload, policyOf(name, seed), { seed, ...NO_NOISE, noise: 0.15, churn: 0.3 }).finishedMs
      ]
      expect(run(5), name).toEqual(run(5))
      expect(run(5), name).not.toEqual(run(6))
    }
  })

  it('runs take the table time times the noise of the pair', () => {
    const workload = workloadOf([[10]], [0], [[0, 1e9]])
    const { finishedMs } = simulate(workload, policyOf('random', 7), { seed: 7, ...NO_NOISE, noise: 0.15 })
    expect(finishedMs[0]).toBeCloseTo(10 * runNoise(0.15, 7, 0, 0), 9)
  })

  it('slows the stated share of the devices by the factor, and only for a while', () => {
    const devices = 20
    const rounds = 100
    const requests = Array.from({ length: devices * rounds }, (_, i): [number, number] => [
      Math.floor(i / devices) * 100,
      1e9
    ])
    const workload = workloadOf([[10]], Array(devices).fill(0), requests)
    const { finishedMs } = simulate(workload, policyOf('round-robin', 1), { seed: 1, ...NO_NOISE, drift: 0.1 })
    const slow = [...finishedMs].flatMap((ms, i) => (Math.round(ms - (requests[i]?.[0] ?? 0)) === 50 ? [i] : []))
    expect(new Set(slow.map((i) => i % devices)).size).toBe(2)
    expect(slow.length / requests.length).toBeCloseTo(0.1 * 0.3, 2)
  })
})

describe('noise', () => {
  const samples = Array.from({ length: 40_000 }, (_, i) => runNoise(0.15, 11, i, i % 104))

  it('is lognormal with sigma 0.15, and one in a hundred runs takes five times as long', () => {
    const logs = samples.filter((x) => x < 2.5).map(Math.log)
    const centre = logs.reduce((a, b) => a + b, 0) / logs.length
    const sd = Math.sqrt(logs.reduce((a, b) => a + (b - centre) ** 2, 0) / logs.length)
    expect(centre).toBeCloseTo(0, 2)
    expect(sd).toBeCloseTo(0.15, 2)
    expect(1 - logs.length / samples.length).toBeCloseTo(0.01, 2)
    const far = samples.filter((x) => x >= 2.5).map((x) => Math.log(x / 5))
    expect(Math.abs(far.reduce((a, b) => a + b, 0) / far.length)).toBeLessThan(0.03)
  })

  it('is cut from below by its steps: no share of the runs is longer than the law says', () => {
    const steps = noiseSteps(0.15)
    expect(steps.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9)
    for (const { factor } of steps) {
      const claimed = steps.filter((each) => each.factor >= factor).reduce((sum, { share }) => sum + share, 0)
      const real = samples.filter((x) => x >= factor).length / samples.length
      expect(real).toBeGreaterThanOrEqual(claimed - 0.006)
    }
  })
})

describe('cold starts', () => {
  const workload = workloadOf([[10], [10], [10]], [0], [[0, 1]])

  it('cost nothing when off', () => {
    expect(new ColdStarts(workload, 1, { memoryModels: 0, absent: 1 }).costOf(0, 0)).toBeNull()
  })

  it('cost load and first run until the model is in memory, where the least recently used makes room', () => {
    const cold = new ColdStarts(workload, 1, { memoryModels: 2, absent: 0 })
    expect([...cold.loaded(0)]).toEqual([0, 1])
    cold.restart(0)
    const first = cold.costOf(0, 0)
    expect(first).toMatchObject({ transferMs: 0, firstRunMs: 10 })
    expect(first?.loadMs).toBeGreaterThan(0)
    cold.use(0, 0)
    cold.use(0, 1)
    cold.use(0, 0)
    cold.use(0, 2)
    expect([cold.costOf(0, 0), cold.costOf(0, 2)]).toEqual([null, null])
    expect([...cold.loaded(0)]).toEqual([0, 2])
    expect(cold.costOf(0, 1)).not.toBeNull()
    cold.restart(0)
    expect(cold.costOf(0, 0)).toEqual(first)
  })

  it('find every model deployed on as many devices, where it runs, and fetch another artifact once', () => {
    const mixed = workloadOf([[10], [10], [0], [10]], [0, 0, 0], [[0, 1]])
    const cold = new ColdStarts(mixed, 1, { memoryModels: 2, absent: 1 })
    expect([0, 1, 2].map((device) => [...cold.loaded(device)])).toEqual([
      [0, 1],
      [1, 3],
      [3, 0]
    ])
    expect(cold.costOf(0, 3)?.transferMs).toBeGreaterThan(0)
    cold.use(0, 3)
    expect([...cold.loaded(0)]).toEqual([1, 3])
    expect(cold.costOf(0, 0)?.transferMs).toBe(0)
  })

  it('are predicted from the parts that devices reported, at once where nothing is known and better by and by', () => {
    const cold = new ColdStarts(workload, 1, { memoryModels: 1, absent: 1 })
    const truthMs = (model: number) => {
      const { transferMs = 0, loadMs = 0, firstRunMs = 0 } = cold.costOf(0, model) ?? {}
      return transferMs + loadMs + firstRunMs
    }
    const offBy = () => Math.abs(Math.log(cold.predictedMs(0, 2, 10) / truthMs(2)))
    const before = offBy()
    expect(before).toBeGreaterThan(0.1)
    for (const model of [0, 1]) {
      const took = cold.costOf(0, model)
      if (took !== null) cold.report(0, model, took, 10)
    }
    expect(offBy()).toBeLessThan(before / 2)
    cold.use(0, 2)
    expect(cold.predictedMs(0, 2, 10)).toBe(0)
  })

  it('lengthen what a run takes in the world, but not what devices report', () => {
    const single = workloadOf([[10], [10]], [0], [[0, 1e9, 1]])
    const options = { seed: 1, ...NO_NOISE, memoryModels: 1 }
    const { finishedMs, latency } = simulate(single, policyOf('random', 1), options)
    const { transferMs = 0, loadMs = 0, firstRunMs = 0 } = new ColdStarts(single, 1, options).costOf(0, 1) ?? {}
    expect(finishedMs[0]).toBeCloseTo(10 + transferMs + loadMs + firstRunMs, 6)
    expect(loadMs).toBeGreaterThan(1)
    expect(latency.expectedMs(0, 1)).toBeCloseTo(10, 6)
  })
})
