import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Fairness } from '../src/core/fairness.ts'
import { ActiveScheduler, type Demand, LatencyModel, weightsFrom } from '../src/index.ts'

const HALF_LIFE_MS = 1_000
const outcomes = fc.array(
  fc.record({ artifact: fc.nat(3), failed: fc.boolean(), afterMs: fc.oneof(fc.nat(3_000), fc.nat(100_000)) }),
  { maxLength: 40 }
)

describe('fairness between models', () => {
  it('counts an outcome half as much in each half-life, however long it lasts', () => {
    fc.assert(
      fc.property(outcomes, fc.nat(200_000), (script, laterMs) => {
        const fairness = new Fairness(HALF_LIFE_MS)
        let atMs = 0
        const times = script.map(({ artifact, failed, afterMs }) => {
          atMs += afterMs
          fairness.note(artifact, failed, atMs)
          return atMs
        })
        const nowMs = atMs + laterMs
        const faded = (counts: (each: (typeof script)[number]) => boolean) =>
          script.reduce(
            (sum, each, i) => sum + (counts(each) ? 0.5 ** ((nowMs - (times[i] ?? 0)) / HALF_LIFE_MS) : 0),
            0
          )
        const all = (faded((each) => each.failed) + 1) / (faded(() => true) + 10)
        for (let artifact = 0; artifact < 4; artifact++) {
          const asked = faded((each) => each.artifact === artifact)
          const failed = faded((each) => each.artifact === artifact && each.failed)
          expect(fairness.logShare(artifact, nowMs)).toBeCloseTo(Math.log((failed + 1) / (asked + 10) / all), 6)
        }
      })
    )
  })

  it('has forgotten everything after many half-lives, and a forgotten artifact at once', () => {
    fc.assert(
      fc.property(outcomes, (script) => {
        const fairness = new Fairness(HALF_LIFE_MS)
        let atMs = 0
        for (const { artifact, failed, afterMs } of script) {
          atMs += afterMs
          fairness.note(artifact, failed, atMs)
        }
        for (let artifact = 0; artifact < 4; artifact++) {
          expect(fairness.logShare(artifact, atMs + 60 * HALF_LIFE_MS)).toBeCloseTo(0, 6)
          fairness.forget(artifact)
        }
        for (let artifact = 0; artifact < 4; artifact++) expect(fairness.logShare(artifact, atMs)).toBeCloseTo(0, 6)
      })
    )
  })

  it('puts first what failed lately, not what failed long ago', () => {
    const nextAt = (nowMs: number) => {
      const latency = new LatencyModel()
      latency.addDevice(0, 0)
      for (const artifact of [0, 1]) latency.seed(0, artifact, 10)
      const scheduler = new ActiveScheduler(latency, {
        weights: weightsFrom({ work: { fairness: 5 } }),
        fairnessHalfLifeMs: HALF_LIFE_MS
      })
      scheduler.addDevice(0, 0, 1)
      for (let i = 0; i < 50; i++) scheduler.noteOutcome(1, true, 0)
      for (let i = 0; i < 50; i++) scheduler.noteOutcome(0, false, 0)
      const demand = (artifact: number): Demand => ({ key: `model-${artifact}`, artifact, admits: () => true })
      // The older one, by a hair, is the first model's.
      for (const artifact of [0, 1])
        scheduler.offer({
          id: `${artifact}`,
          order: artifact,
          demand: demand(artifact),
          priority: 0,
          deadlineMs: nowMs + 1_000 + artifact,
          submittedAtMs: nowMs
        })
      return scheduler.placeOn(0, nowMs)?.work.id
    }
    expect(nextAt(0)).toBe('1')
    expect(nextAt(60 * HALF_LIFE_MS)).toBe('0')
  })
})
