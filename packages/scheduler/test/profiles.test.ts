import { describe, expect, it } from 'vitest'
import { BYTES_PER_PAIR, ColdStartModel, LatencyModel, PairProfiles } from '../src/index.ts'

const modelOf = (kindOf: readonly number[]): LatencyModel => {
  const model = new LatencyModel()
  kindOf.forEach((kind, device) => {
    model.addDevice(device, kind)
  })
  return model
}

describe('latency profiles', () => {
  it('keep each pair apart, in at most 48 bytes', () => {
    const profiles = new PairProfiles()
    for (let device = 0; device < 300; device++)
      for (let artifact = 0; artifact < 10; artifact++) profiles.observe(device, artifact, 1 + device * 10 + artifact)
    expect(profiles.size).toBe(3000)
    for (let device = 0; device < 300; device++) expect(profiles.get(device, 7)?.p50Ms).toBeCloseTo(8 + device * 10, 1)
    expect(profiles.get(300, 0)).toBeNull()
    expect(BYTES_PER_PAIR).toBeLessThanOrEqual(48)
  })

  it('follow a pair to another latency within some tens of runs', () => {
    const profiles = new PairProfiles()
    for (let i = 0; i < 200; i++) profiles.observe(1, 1, 10)
    for (let i = 0; i < 300; i++) profiles.observe(1, 1, 50)
    expect(Math.exp(profiles.get(1, 1)?.logMean ?? 0)).toBeGreaterThan(45)
  })

  it('demote a device that became slow, not its kind, and take it back', () => {
    const model = modelOf([0, 0])
    for (let i = 0; i < 50; i++) for (const device of [0, 1]) model.observe(device, 0, 10)
    for (let i = 0; i < 20; i++) model.observe(0, 0, 50)
    expect(model.isDrifting(0)).toBe(true)
    expect(model.expectedMs(1, 0)).toBeCloseTo(10, 0)
    for (let i = 0; i < 30; i++) model.observe(0, 0, 10)
    expect(model.isDrifting(0)).toBe(false)
  })

  it('do not demote a device for one slow run', () => {
    const model = modelOf([0])
    for (let i = 0; i < 50; i++) model.observe(0, 0, 10)
    model.observe(0, 0, 50)
    expect(model.isDrifting(0)).toBe(false)
  })

  it('predict a kind that never ran an artifact, less surely than one that did', () => {
    const model = modelOf([0, 1])
    for (let a = 0; a < 6; a++) {
      model.observe(0, a, 10 * (a + 1))
      if (a > 0) model.observe(1, a, 20 * (a + 1))
    }
    const unseen = model.predict(1, 0)
    expect(unseen.source).toBe('predicted')
    expect(Math.exp(unseen.logMs)).toBeGreaterThan(14)
    expect(Math.exp(unseen.logMs)).toBeLessThan(28)
    expect(unseen.logSd).toBeGreaterThan(model.predict(1, 1).logSd * 0.9)
  })

  it('take a benchmark for as much as it has runs', () => {
    const [once, often] = [modelOf([0]), modelOf([0])]
    once.seed(0, 0, 10, 1)
    often.seed(0, 0, 10, 50)
    for (const model of [once, often]) model.observe(0, 0, 13)
    expect(once.predict(0, 0).logSd).toBeGreaterThan(often.predict(0, 0).logSd)
    expect(once.expectedMs(0, 0)).toBeGreaterThan(11)
    expect(often.expectedMs(0, 0)).toBeLessThan(10.5)
    // Of one run nobody knows whether it was an outlier.
    once.seed(0, 1, 50, 1)
    once.observe(0, 1, 10)
    expect(once.expectedMs(0, 1)).toBeLessThan(13)
  })

  it('predict the parts of a cold start apart', () => {
    const cold = new ColdStartModel()
    const before = cold.predict(0, 1_000_000, 10)
    for (let i = 0; i < 40; i++) cold.observeTransfer(0, 1_000_000, 100)
    const after = cold.predict(0, 1_000_000, 10)
    expect(after.transferMs).toBeCloseTo(100, 0)
    expect(after.loadMs).toBe(before.loadMs)
    expect(after.firstRunMs).toBe(before.firstRunMs)
    // Another device is as the fleet is, until it is measured itself.
    expect(cold.predict(1, 1_000_000, 10).transferMs).toBeCloseTo(100, 0)
    for (let i = 0; i < 40; i++) cold.observeTransfer(1, 1_000_000, 1_000)
    expect(cold.predict(1, 1_000_000, 10).transferMs).toBeGreaterThan(700)
    expect(cold.predict(0, 1_000_000, 10).transferMs).toBeLessThan(150)
    cold.forgetDevice(1)
    expect(cold.predict(1, 1_000_000, 10).transferMs).toBeLessThan(900)
  })
})
