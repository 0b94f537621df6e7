import { describe, expect, it } from 'vitest'
import {
  ActiveScheduler,
  type Candidate,
  DEFAULT_WEIGHTS,
  LatencyModel,
  newCandidate,
  type PendingWork,
  SCORES,
  type ScoreWeights,
  weightsFrom
} from '../src/index.ts'

/** Better and worse by this score alone: a score without a line here fails the test. */
const ORDERS: Record<string, [better: Partial<Candidate>, worse: Partial<Candidate>]> = {
  'predicted-finish': [
    { waitMs: 0, runLogMs: 3 },
    { waitMs: 10, runLogMs: 3 }
  ],
  'cold-start': [{ runLogMs: 3 }, { runLogMs: 3, coldStartMs: 50 }],
  certainty: [{ logChance: 0 }, { logChance: -1 }],
  thrift: [{ kindLogMs: 4 }, { kindLogMs: 2 }],
  energy: [{ watts: 3 }, { watts: 12 }],
  wear: [
    { runs: 10, kindRuns: 20 },
    { runs: 30, kindRuns: 20 }
  ],
  urgency: [{ slackMs: 5 }, { slackMs: 500 }],
  affinity: [
    { runLogMs: 3, fastestLogMs: 3 },
    { runLogMs: 3, fastestLogMs: 1 }
  ],
  fairness: [{ failedLogShare: 1 }, { failedLogShare: 0 }],
  age: [{ overdue: 2 }, { overdue: 0 }]
}

let order = 0
const job = (artifact: number, deadlineMs: number, submittedAtMs = 0): PendingWork => {
  const demand = { key: `model-${artifact}`, artifact, admits: () => true }
  return { id: `job-${order}`, order: order++, demand, priority: 0, deadlineMs, submittedAtMs }
}
function fleet(kindOf: readonly number[], weights: ScoreWeights = DEFAULT_WEIGHTS): ActiveScheduler {
  const latency = new LatencyModel()
  const scheduler = new ActiveScheduler(latency, { weights })
  kindOf.forEach((kind, device) => {
    latency.addDevice(device, kind)
    latency.seed(device, 0, 10)
    scheduler.addDevice(device, kind, 1)
  })
  return scheduler
}
/** Where so many jobs go, each of which ends before the next one comes. */
function runs(scheduler: ActiveScheduler, count: number): number[] {
  return Array.from({ length: count }, () => {
    scheduler.offer(job(0, Number.POSITIVE_INFINITY))
    const placed = scheduler.place(0)
    if (placed === null) throw new Error('nothing was placed')
    scheduler.release(placed)
    return placed.device
  })
}

describe('scores', () => {
  for (const { name, cost } of SCORES)
    it(`${name} orders what it is for, and counts in a decision`, () => {
      const [better, worse] = ORDERS[name] ?? [{}, {}]
      expect(cost({ ...newCandidate(), ...better })).toBeLessThan(cost({ ...newCandidate(), ...worse }))
      expect((DEFAULT_WEIGHTS.device[name] ?? 0) + (DEFAULT_WEIGHTS.work[name] ?? 0)).toBeGreaterThan(0)
    })

  it('have every name that a weight has, and weights that are named and sane', () => {
    const names = SCORES.map(({ name }) => name)
    for (const own of [DEFAULT_WEIGHTS.device, DEFAULT_WEIGHTS.work])
      for (const name of Object.keys(own)) expect(names).toContain(name)
    expect(weightsFrom({ device: { energy: 1 } }).device).toMatchObject({ energy: 1, certainty: 2 })
    expect(() => weightsFrom({ work: { enregy: 1 } })).toThrow(/no score is named enregy/)
    expect(() => weightsFrom({ work: { age: Number.NaN } })).toThrow(/the weight of age/)
  })

  it('send work to the device that draws less power, of two that are alike otherwise', () => {
    for (const [thrifty, other] of [
      [0, 1],
      [1, 0]
    ] as const) {
      const scheduler = fleet([0, 0])
      scheduler.noteWatts(thrifty, 3)
      scheduler.noteWatts(other, 12)
      expect(runs(scheduler, 1)).toEqual([thrifty])
    }
  })

  it('do not let power outweigh time, unless they are told to', () => {
    for (const [energy, device] of [
      [0.02, 0],
      [2, 1]
    ] as const) {
      const latency = new LatencyModel()
      const scheduler = new ActiveScheduler(latency, { weights: weightsFrom({ device: { energy, thrift: 0 } }) })
      ;[10, 15].forEach((ms, kind) => {
        latency.addDevice(kind, kind)
        latency.seed(kind, 0, ms)
        scheduler.addDevice(kind, kind, 1)
        scheduler.noteWatts(kind, kind === 0 ? 12 : 3)
      })
      expect(runs(scheduler, 1)).toEqual([device])
    }
  })

  it('let all idle devices of a kind have their turn', () => {
    const scheduler = fleet(Array.from({ length: 100 }, () => 0))
    expect(new Set(runs(scheduler, 100)).size).toBe(100)
  })

  it('make up for how often a device was used before others of its kind came', () => {
    const scheduler = fleet([0, 0, 0])
    scheduler.removeDevice(1)
    scheduler.removeDevice(2)
    runs(scheduler, 50)
    for (const device of [1, 2]) scheduler.addDevice(device, 0, 1)
    expect(runs(scheduler, 20)).not.toContain(0)
  })
})
