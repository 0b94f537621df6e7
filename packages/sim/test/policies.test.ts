import { describe, expect, it } from 'vitest'
import { policyOf, simulate, type Workload } from '../src/index.ts'
import { NO_NOISE, workloadOf } from './small-worlds.ts'

const FAST_AND_SLOW = [[10, 30]]
const soon = Number.POSITIVE_INFINITY
/** When each request finished; null: refused. */
function finished(name: string, workload: Workload, seed = 1): (number | null)[] {
  const { finishedMs, refused } = simulate(workload, policyOf(name, seed), { seed, ...NO_NOISE })
  return [...finishedMs].map((ms, i) => (refused[i] === 1 ? null : Math.round(ms * 1000) / 1000))
}
const at = (...arrivals: number[]) => arrivals.map((ms): [number, number] => [ms, soon])

describe('policies that bind at arrival', () => {
  it('round-robin takes the devices in turn, whatever waits there', () => {
    expect(finished('round-robin', workloadOf(FAST_AND_SLOW, [0, 1], at(0, 0, 12, 13)))).toEqual([10, 30, 22, 60])
  })

  it('least-loaded goes by the number of requests that a device has, not by how long they take', () => {
    expect(finished('least-loaded', workloadOf(FAST_AND_SLOW, [0, 1], at(0, 0, 12, 13)))).toEqual([10, 30, 22, 32])
  })

  it('predicted-finish counts all that waits before it, at what each takes there', () => {
    expect(finished('predicted-finish', workloadOf(FAST_AND_SLOW, [0, 1], at(0, 0, 0, 0)))).toEqual([10, 20, 30, 30])
    // A long model ahead on the fast kind sends the next one to the slow kind.
    const mixed = workloadOf(
      [
        [10, 30],
        [50, 400]
      ],
      [0, 1],
      [
        [0, soon, 1],
        [1, soon, 0]
      ]
    )
    expect(finished('predicted-finish', mixed)).toEqual([50, 31])
  })

  it('predicted-finish-refuse refuses at once what its best device would finish late, and nothing waits behind that', () => {
    const requests: [number, number][] = [
      [0, 25],
      [0, 25],
      [0, 25],
      [1, 31],
      [12, 35]
    ]
    // The third could finish at 30 only; the fourth takes 10 behind two others, or 30 on the slow kind.
    expect(finished('predicted-finish-refuse', workloadOf(FAST_AND_SLOW, [0, 1], requests))).toEqual([
      10,
      20,
      null,
      30,
      null
    ])
  })

  it('random and power-of-two use every device, and only the second keeps the queues short', () => {
    const workload = workloadOf([[10]], Array(50).fill(0), Array(500).fill([0, soon]))
    const last = (name: string) => Math.max(...(finished(name, workload) as number[]))
    expect(last('power-of-two')).toBeLessThanOrEqual(130)
    expect(last('random')).toBeGreaterThan(150)
    const firsts = (finished('random', workload) as number[]).filter((ms) => ms === 10)
    expect(firsts.length).toBe(50)
  })

  it('send nothing to a device that lacks the model, and refuse what no device has', () => {
    const workload = workloadOf(
      [
        [0, 30],
        [0, 0]
      ],
      [0, 1],
      [
        [0, soon, 0],
        [0, soon, 1],
        [0, soon, 0]
      ]
    )
    for (const name of ['random', 'round-robin', 'power-of-two', 'least-loaded', 'predicted-finish'])
      expect(finished(name, workload), name).toEqual([30, null, 60])
  })
})

describe('policies that bind when a device is free', () => {
  const one: [number, number][] = [
    [0, soon],
    [1, 100],
    [2, 30],
    [3, 12]
  ]

  it('late-edf takes the earliest deadline first and drops what nobody can finish any more', () => {
    expect(finished('late-edf', workloadOf([[10]], [0], one))).toEqual([10, 30, 20, null])
  })

  it('late-edf leaves to another device what only that one can finish in time, late-edf-own drops it', () => {
    // Both are busy until 10 (fast) and 5 (slow, with the short model). At 5 the slow one cannot make the first deadline.
    const workload = workloadOf(
      [
        [10, 50],
        [100, 5]
      ],
      [0, 1],
      [
        [0, soon, 0],
        [0, soon, 1],
        [1, 25, 0],
        [2, 60, 0]
      ]
    )
    expect(finished('late-edf', workload)).toEqual([10, 5, 20, 55])
    expect(finished('late-edf-own', workload)).toEqual([10, 5, null, 55])
  })

  it('skerry leaves a job alone for a busy device that will have done it much sooner; late-edf does not', () => {
    const workload = workloadOf([[10, 50]], [0, 1], at(0, 1))
    expect(finished('skerry', workload)).toEqual([10, 20])
    expect(finished('late-edf', workload)).toEqual([10, 51])
  })

  it('take a request up again when its device vanishes', () => {
    const workload = workloadOf([[1000]], [0, 0], [...at(...Array.from({ length: 10 }, (_, i) => i * 100))])
    for (const name of ['late-edf', 'skerry', 'predicted-finish']) {
      const outcome = simulate(workload, policyOf(name, 1), { seed: 3, ...NO_NOISE, churn: 0.5 })
      expect(outcome.runs, name).toBeGreaterThan(10)
      expect([...outcome.finishedMs].every(Number.isFinite), name).toBe(true)
    }
  })

  it('are refused by name when unknown', () => {
    expect(() => policyOf('clairvoyant', 1)).toThrow(/no policy is called clairvoyant/)
  })
})
