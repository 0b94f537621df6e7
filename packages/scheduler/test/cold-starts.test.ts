import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ActiveScheduler, LatencyModel, type PendingWork, type Placement, type SchedulerConfig } from '../src/index.ts'

const EVER = Number.POSITIVE_INFINITY
const LOAD_MS = 200

/** One device of each kind, as fast as the list says at every artifact; nothing is loaded anywhere. */
function fleet(ms: readonly number[], loadMs = LOAD_MS, config: Partial<SchedulerConfig> = {}) {
  const latency = new LatencyModel()
  const scheduler = new ActiveScheduler(latency, config, () => loadMs)
  ms.forEach((each, device) => {
    latency.addDevice(device, device)
    for (const artifact of [0, 1]) latency.seed(device, artifact, each)
    scheduler.addDevice(device, device, 1)
  })
  return { latency, scheduler }
}
let order = 0
const job = (change: Partial<PendingWork> = {}): PendingWork => {
  const demand = { key: 'all', artifact: 0, admits: () => true }
  return { id: `job-${order}`, order: order++, demand, priority: 0, deadlineMs: EVER, submittedAtMs: 0, ...change }
}

describe('cold starts in the decision', () => {
  it('goes where the artifact is loaded, although another device runs it faster', () => {
    const { scheduler } = fleet([10, 40])
    scheduler.setLoaded(1, [0])
    scheduler.offer(job())
    expect(scheduler.place(0)).toMatchObject({ device: 1, predictedFinishMs: expect.closeTo(40, 6) })
  })

  it('loads it where that is done sooner than waiting for the device that has it', () => {
    const { scheduler } = fleet([1_000, 10])
    scheduler.setLoaded(0, [0])
    const [first, second] = [job(), job()]
    scheduler.setSlots(1, 0)
    scheduler.offer(first)
    expect(scheduler.place(0)?.device).toBe(0)
    scheduler.setSlots(1, 1)
    scheduler.offer(second)
    expect(scheduler.place(0)).toMatchObject({ device: 1, predictedFinishMs: expect.closeTo(LOAD_MS + 10, 6) })
  })

  it('waits for a busy device that has it loaded rather than load it on a free one', () => {
    const { scheduler } = fleet([10, 10])
    scheduler.setLoaded(0, [0])
    const [first, second] = [job(), job()]
    scheduler.offer(first)
    expect(scheduler.place(0)?.device).toBe(0)
    scheduler.offer(second)
    expect(scheduler.place(0)).toBeNull()
    scheduler.setSlots(0, 1)
    expect(scheduler.place(10)).toMatchObject({ work: second, device: 0 })
  })

  it('waits for the one that has it loaded also where another of its kind is free sooner', () => {
    const latency = new LatencyModel()
    const scheduler = new ActiveScheduler(latency, {}, () => LOAD_MS)
    for (const device of [0, 1, 2]) {
      latency.addDevice(device, 0)
      scheduler.addDevice(device, 0, 1)
      scheduler.setLoaded(device, [[1], [0], []][device] as number[])
    }
    latency.seed(0, 0, 20)
    latency.seed(0, 1, 5)
    const own = (device: number, artifact: number) => ({ key: `own-${device}`, artifact, device, admits: () => true })
    scheduler.offer(job({ demand: own(0, 1) }))
    scheduler.offer(job({ demand: own(1, 0) }))
    expect([scheduler.place(0)?.device, scheduler.place(0)?.device].sort()).toEqual([0, 1])
    scheduler.offer(job())
    expect(scheduler.place(0)).toBeNull()
    scheduler.setSlots(0, 1)
    expect(scheduler.place(5)).toBeNull()
    scheduler.setSlots(1, 1)
    expect(scheduler.place(20)?.device).toBe(1)
  })

  it('counts it as loaded where it was placed, until the device says that it was driven out', () => {
    const { scheduler } = fleet([10])
    const finishOf = () => {
      scheduler.offer(job())
      const placed = scheduler.place(0) as Placement
      scheduler.release(placed)
      return placed.predictedFinishMs
    }
    expect([finishOf(), finishOf()]).toEqual([expect.closeTo(LOAD_MS + 10, 6), expect.closeTo(10, 6)])
    scheduler.setLoaded(0, [1])
    expect(finishOf()).toBeCloseTo(LOAD_MS + 10, 6)
    // Another device of this number has nothing loaded.
    scheduler.removeDevice(0)
    scheduler.addDevice(0, 0, 1)
    expect(finishOf()).toBeCloseTo(LOAD_MS + 10, 6)
    scheduler.forgetArtifact(0)
    expect(finishOf()).toBeCloseTo(LOAD_MS + 10, 6)
  })

  it('tells admission when a device with it loaded is free, and what loading it elsewhere adds', () => {
    const { scheduler } = fleet([10, 10])
    const outlook = () =>
      scheduler.outlook(job({ deadlineMs: 50 }), 0).map(({ aheadMs, coldStartMs }) => [aheadMs, coldStartMs])
    expect(outlook()).toEqual([
      [0, LOAD_MS],
      [0, LOAD_MS]
    ])
    scheduler.setLoaded(1, [0])
    expect(outlook()).toEqual([
      [0, LOAD_MS],
      [0, 0]
    ])
  })

  it('gives up what only a cold start could do too late, and not what a device has loaded', () => {
    const { scheduler } = fleet([10, 10])
    const late = job({ deadlineMs: 100 })
    scheduler.offer(late)
    scheduler.setLoaded(1, [0])
    scheduler.setSlots(1, 0)
    expect(scheduler.place(0)).toBeNull()
    expect(scheduler.takeHopeless(0)).toEqual([])
    scheduler.setLoaded(1, [])
    expect(scheduler.takeHopeless(0)).toEqual([late])
  })

  it('looks at work again that a device has loaded the artifact of meanwhile', () => {
    const { scheduler } = fleet([10])
    const soon = job({ deadlineMs: 100 })
    scheduler.offer(soon)
    expect(scheduler.place(0)).toBeNull()
    scheduler.setLoaded(0, [0])
    expect(scheduler.place(0)?.work).toBe(soon)
  })

  it('finds the one free device of many that has it loaded', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 200 }), fc.nat(199), fc.array(fc.nat(199)), (size, at, busy) => {
        const warm = at % size
        const latency = new LatencyModel()
        const scheduler = new ActiveScheduler(latency, {}, () => LOAD_MS)
        for (let device = 0; device < size; device++) {
          latency.addDevice(device, device % 2)
          scheduler.addDevice(device, device % 2, device !== warm && busy.includes(device) ? 0 : 1)
        }
        for (const kind of [0, 1]) latency.seed(kind, 0, 10)
        scheduler.setLoaded(warm, [0])
        scheduler.offer(job())
        expect(scheduler.place(0)?.device).toBe(warm)
      })
    )
  })

  it('says nothing where no cold starts are told: every artifact is loaded wherever it may run', () => {
    const latency = new LatencyModel()
    latency.addDevice(0, 0)
    latency.seed(0, 0, 10)
    const scheduler = new ActiveScheduler(latency)
    scheduler.addDevice(0, 0, 1)
    scheduler.setLoaded(0, [])
    scheduler.offer(job())
    expect(scheduler.place(0)?.predictedFinishMs).toBeCloseTo(10, 6)
  })
})
