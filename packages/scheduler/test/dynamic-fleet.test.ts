import { describe, expect, it } from 'vitest'
import { ActiveScheduler, type Demand, LatencyModel, type PendingWork, type SchedulerConfig } from '../src/index.ts'

const EVER = Number.POSITIVE_INFINITY

function fleetOf(kindOf: readonly number[], slots = 0, config: Partial<SchedulerConfig> = {}) {
  const latency = new LatencyModel()
  const scheduler = new ActiveScheduler(latency, config)
  kindOf.forEach((kind, device) => {
    latency.addDevice(device, kind)
    scheduler.addDevice(device, kind, slots)
  })
  return { latency, scheduler }
}
let order = 0
const workFor = (demand: Demand, change: Partial<PendingWork> = {}): PendingWork => ({
  id: `job-${order}`,
  order: order++,
  demand,
  priority: 0,
  deadlineMs: EVER,
  submittedAtMs: 0,
  ...change
})
const anywhere: Demand = { key: 'anywhere', artifact: 0, admits: () => true }

describe('a fleet that changes', () => {
  it('places on a device that came after the work, of a kind that nobody knew', () => {
    const { latency, scheduler } = fleetOf([])
    const work = workFor(anywhere)
    expect(scheduler.offer(work)).toBe(true)
    expect(scheduler.placeNew(work, 0)).toBeNull()
    latency.addDevice(700, 9)
    scheduler.addDevice(700, 9, 1)
    expect(scheduler.eligible(anywhere)).toBe(1)
    expect(scheduler.placeOn(700, 0)).toMatchObject({ work, device: 700 })
    expect(scheduler.freeSlots).toBe(0)
  })

  it('places nothing on a device that vanished, and asks the filters anew when its number comes back', () => {
    const { latency, scheduler } = fleetOf([0, 0, 1], 2)
    let admitted = [0, 1, 2]
    const demand: Demand = { key: 'some', artifact: 0, admits: (device) => admitted.includes(device) }
    scheduler.offer(workFor(demand))
    scheduler.removeDevice(1)
    expect(scheduler.eligible(demand)).toBe(2)
    expect(scheduler.freeSlots).toBe(4)
    expect(scheduler.placeOn(1, 0)).toBeNull()
    admitted = [0, 2]
    latency.addDevice(1, 1)
    scheduler.addDevice(1, 1, 3)
    expect(scheduler.eligible(demand)).toBe(2)
    expect(scheduler.placeOn(1, 0)).toBeNull()
    expect(scheduler.placeOn(2, 0)).not.toBeNull()
  })

  it('ignores a release for a device that vanished meanwhile', () => {
    const { scheduler } = fleetOf([0], 1)
    const work = workFor(anywhere)
    scheduler.offer(work)
    const placed = scheduler.placeNew(work, 0)
    scheduler.removeDevice(0)
    if (placed !== null) scheduler.release(placed)
    expect(scheduler.freeSlots).toBe(0)
  })

  it('keeps no line of a job that names its device, and few of the others, once they have no work', () => {
    const { scheduler } = fleetOf([0, 0], 1, { idleLines: 3 })
    for (let i = 0; i < 50; i++) {
      const work = workFor({ key: `selector-${i}`, artifact: 0, admits: () => true })
      scheduler.offer(work)
      scheduler.forget(work)
      const own = workFor({ key: `device-${i}`, artifact: 0, device: i % 2, admits: () => true })
      scheduler.offer(own)
      expect(scheduler.eligible(own.demand)).toBe(1)
      scheduler.forget(own)
    }
    expect(scheduler.lines).toBe(3)
  })

  it('asks only the device that a job names', () => {
    const { scheduler } = fleetOf([0, 0, 0, 0], 1)
    const asked: number[] = []
    const demand: Demand = { key: 'own', artifact: 0, device: 2, admits: (device) => asked.push(device) > 0 }
    const work = workFor(demand)
    scheduler.offer(work)
    scheduler.deviceChanged(1)
    expect(scheduler.placeOn(1, 0)).toBeNull()
    expect(scheduler.placeNew(work, 0)?.device).toBe(2)
    expect(new Set(asked)).toEqual(new Set([2]))
  })

  it('gives back the work of a line that is dropped, in its order', () => {
    const { scheduler } = fleetOf([0])
    const late = workFor(anywhere, { deadlineMs: 500 })
    const soon = workFor(anywhere, { deadlineMs: 100 })
    const first = workFor(anywhere, { priority: 5 })
    for (const work of [late, soon, first]) scheduler.offer(work)
    expect([...scheduler.waitingOf('anywhere')]).toEqual([first, soon, late])
    expect(scheduler.dropLine('anywhere')).toEqual([first, soon, late])
    expect(scheduler.waiting).toBe(0)
    scheduler.setSlots(0, 1)
    expect(scheduler.placeOn(0, 0)).toBeNull()
  })

  it('waits for the soonest slot of a device with several, not for the last that was taken', () => {
    const { latency, scheduler } = fleetOf([0, 1], 0)
    for (const [device, artifact, ms] of [
      [0, 0, 10],
      [0, 1, 1000],
      [1, 0, 100]
    ] as const)
      latency.seed(device, artifact, ms)
    scheduler.setSlots(0, 2)
    const long: Demand = { key: 'long', artifact: 1, admits: (device) => device === 0 }
    for (const demand of [anywhere, long]) {
      const work = workFor(demand)
      scheduler.offer(work)
      expect(scheduler.placeNew(work, 0)?.device).toBe(0)
    }
    scheduler.setSlots(1, 1)
    const work = workFor(anywhere)
    scheduler.offer(work)
    // Device 0 has it done at 20, though one of its slots is taken until 1000.
    expect(scheduler.placeNew(work, 0)).toBeNull()
    expect(scheduler.nextLookMs()).toBeCloseTo(10)
    // It is late, and says nothing of when it will be free.
    expect(scheduler.placeLeft(11)?.device).toBe(1)
  })

  it('places work left for a device that vanishes elsewhere', () => {
    const { latency, scheduler } = fleetOf([0, 1], 0)
    latency.seed(0, 0, 10)
    latency.seed(1, 0, 100)
    scheduler.setSlots(0, 1)
    const [first, second] = [workFor(anywhere), workFor(anywhere)]
    scheduler.offer(first)
    expect(scheduler.placeNew(first, 0)?.device).toBe(0)
    scheduler.setSlots(1, 1)
    scheduler.offer(second)
    expect(scheduler.placeNew(second, 1)).toBeNull()
    scheduler.removeDevice(0)
    expect(scheduler.placeLeft(2)).toMatchObject({ work: second, device: 1 })
  })

  it('lets work without a device wait for its deadline, and tries what nobody measured', () => {
    const { scheduler } = fleetOf([0], 0)
    const nowhere: Demand = { key: 'nowhere', artifact: 3, admits: () => false }
    const waiting = workFor(nowhere, { deadlineMs: 50 })
    // Less than anyone would guess for an artifact that never ran: still not given up.
    const tight = workFor({ key: 'unmeasured', artifact: 4, admits: () => true }, { deadlineMs: 60 })
    scheduler.offer(waiting)
    scheduler.offer(tight)
    expect(scheduler.takeHopeless(10)).toEqual([])
    scheduler.setSlots(0, 1)
    expect(scheduler.placeOn(0, 10)?.work).toBe(tight)
    expect(scheduler.takeHopeless(50)).toEqual([waiting])
  })

  it('takes jobs whose deadline is only a time to live by class, then by age', () => {
    const { scheduler } = fleetOf([0], 0)
    const day = 86_400_000
    const works = Array.from({ length: 300 }, (_, i) =>
      workFor(i % 3 === 0 ? anywhere : { ...anywhere, key: `other-${i % 3}` }, {
        priority: i % 2,
        submittedAtMs: i,
        deadlineMs: i + day
      })
    )
    for (const work of [...works].reverse()) scheduler.offer(work)
    const taken: PendingWork[] = []
    for (let i = 0; i < 300; i++) {
      scheduler.setSlots(0, 1)
      taken.push(scheduler.placeOn(0, 1000)?.work as PendingWork)
    }
    expect(taken).toEqual([...works].sort((a, b) => b.priority - a.priority || a.deadlineMs - b.deadlineMs))
  })
})

describe('a latency model that grows', () => {
  it('answers a finite time with a large uncertainty where nothing is known', () => {
    const model = new LatencyModel()
    model.addDevice(3, 2)
    const unknown = model.predict(3, 40)
    expect(unknown.source).toBe('predicted')
    expect(unknown.logSd).toBeGreaterThan(2)
    expect(model.expectedMs(3, 40)).toBeGreaterThan(1)
    expect(model.leastMs(3, 40)).toBeLessThan(model.expectedMs(3, 40) / 10)
    model.seed(3, 0, 5)
    // The kind's other artifacts say where, not how far off.
    expect(model.expectedMs(3, 40)).toBeCloseTo(5)
    expect(model.predict(3, 40).logSd).toBeGreaterThan(2)
  })

  it('keeps what it learnt when kinds and columns come, and forgets a column that is given away', () => {
    const model = new LatencyModel()
    for (let device = 0; device < 40; device++) {
      model.addDevice(device, device)
      for (let artifact = 0; artifact < 40; artifact += 1 + (device % 3))
        model.seed(device, artifact, 1 + device + 100 * artifact)
    }
    for (let device = 0; device < 40; device++)
      for (let artifact = 0; artifact < 40; artifact += 1 + (device % 3))
        expect(model.expectedMs(device, artifact)).toBeCloseTo(1 + device + 100 * artifact)
    model.forgetArtifact(6)
    expect(model.predict(0, 6).source).toBe('predicted')
    expect(model.predict(0, 6).logSd).toBeGreaterThan(2)
    expect(model.predict(0, 9).source).toBe('measured')
  })

  it('knows nothing of the device that had a number before', () => {
    const model = new LatencyModel()
    for (const device of [0, 1]) model.addDevice(device, 0)
    for (let i = 0; i < 30; i++) model.observe(1, 0, 10)
    for (let i = 0; i < 30; i++) model.observe(0, 0, 80)
    expect(model.isDrifting(0)).toBe(true)
    model.removeDevice(0)
    model.addDevice(0, 0)
    expect(model.isDrifting(0)).toBe(false)
    expect(model.expectedMs(0, 0)).toBeLessThan(12)
  })
})
