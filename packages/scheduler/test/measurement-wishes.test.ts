import { describe, expect, it } from 'vitest'
import { ActiveScheduler, admit, LatencyModel, type PendingWork } from '../src/index.ts'

const AFTER_MS = 1_000
const demand = { key: 'all', artifact: 0, admits: () => true }
let order = 0
const job = (deadlineMs: number): PendingWork => ({
  ...{ id: `job-${order}`, order: order++, demand, priority: 0, deadlineMs, submittedAtMs: 0 }
})
/** Device 0 and 1 of kind 0, device 2 of kind 1; all have run the artifact, which takes `ms` there, at 1 ms. */
function fleet(ms: number) {
  const latency = new LatencyModel()
  const scheduler = new ActiveScheduler(latency, { remeasureMs: AFTER_MS, waitRatio: 0 })
  for (const [device, kind] of [0, 0, 1].entries()) {
    latency.addDevice(device, kind)
    scheduler.addDevice(device, kind, 1)
  }
  for (let i = 0; i < 30; i++) for (const device of [0, 1, 2]) latency.observe(device, 0, ms)
  for (let i = 0; i < 3; i++) scheduler.offer(job(Number.POSITIVE_INFINITY))
  const placed = [1, 1, 1].map((nowMs) => scheduler.place(nowMs))
  for (const each of placed) if (each !== null) scheduler.release(each)
  return { latency, scheduler }
}

describe('what is to be measured again', () => {
  it('is what refused work for long: one device of each kind in its turn, and not again too soon', () => {
    const { scheduler } = fleet(100)
    const wishesAt = (nowMs: number) => {
      scheduler.noteRefused(demand, nowMs)
      return scheduler.takeMeasurementWishes()
    }
    expect(wishesAt(AFTER_MS)).toEqual([])
    const first = wishesAt(AFTER_MS + 1)
    expect(first).toHaveLength(1)
    expect(wishesAt(2 * AFTER_MS)).toEqual([])
    const second = wishesAt(2 * AFTER_MS + 1)
    const kinds = [...first, ...second].map(({ device }) => (device < 2 ? 0 : 1))
    expect(kinds.sort()).toEqual([0, 1])
    expect([...first, ...second].every(({ artifact }) => artifact === 0)).toBe(true)
  })

  it('is not what runs now and then, nor what nobody was refused', () => {
    const { scheduler } = fleet(100)
    for (let nowMs = 500; nowMs < 10_000; nowMs += 500) {
      for (let i = 0; i < 3; i++) scheduler.offer(job(Number.POSITIVE_INFINITY))
      const placed = [0, 1, 2].map(() => scheduler.place(nowMs))
      for (const each of placed) if (each !== null) scheduler.release(each)
      scheduler.noteRefused(demand, nowMs)
      expect(scheduler.takeMeasurementWishes()).toEqual([])
    }
    expect(fleet(100).scheduler.takeMeasurementWishes()).toEqual([])
  })

  it('is also what work was given up for that waited', () => {
    const { scheduler } = fleet(100)
    scheduler.offer(job(AFTER_MS + 60))
    expect(scheduler.takeHopeless(AFTER_MS + 1)).toHaveLength(1)
    expect(scheduler.takeMeasurementWishes()).toHaveLength(1)
  })

  it('is forgotten with its device or its artifact', () => {
    for (const forget of [
      (scheduler: ActiveScheduler) => [0, 1, 2].forEach((device) => void scheduler.removeDevice(device)),
      (scheduler: ActiveScheduler) => scheduler.forgetArtifact(0)
    ]) {
      const { scheduler } = fleet(100)
      scheduler.noteRefused(demand, AFTER_MS + 1)
      forget(scheduler)
      expect(scheduler.takeMeasurementWishes()).toEqual([])
    }
  })

  it('ends a refusal for ever: one benchmark of a latency that was wrong and high, and work is taken again', () => {
    const { latency, scheduler } = fleet(100)
    const isRefused = () => {
      const deadlineMs = 40
      const nowMs = 2 * AFTER_MS
      const outlook = scheduler.outlook({ demand, priority: 0, deadlineMs: nowMs + deadlineMs }, nowMs)
      return admit(outlook, deadlineMs, 'strict').kind === 'refused'
    }
    // Without doubt thirty runs weigh more than a benchmark.
    latency.seed(0, 0, 10)
    expect(isRefused()).toBe(true)
    scheduler.noteRefused(demand, 2 * AFTER_MS)
    const [wish] = scheduler.takeMeasurementWishes()
    latency.seed(wish?.device ?? -1, 0, 10)
    expect(isRefused()).toBe(false)
  })
})
