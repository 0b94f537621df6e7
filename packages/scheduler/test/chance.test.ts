import { describe, expect, it } from 'vitest'
import { ActiveScheduler, DEFAULT_WEIGHTS, LatencyModel, type PendingWork, type SchedulerConfig } from '../src/index.ts'

let order = 0
const job = (artifact: number, deadlineMs: number): PendingWork => {
  const demand = { key: `model-${artifact}`, artifact, admits: () => true }
  return { id: `job-${order}`, order: order++, demand, priority: 0, deadlineMs, submittedAtMs: 0 }
}
/** One device of each kind, with what each of the artifacts takes there. */
function fleet(ms: readonly (readonly number[])[], config: Partial<SchedulerConfig> = {}) {
  const latency = new LatencyModel()
  const scheduler = new ActiveScheduler(latency, config)
  ms.forEach((own, device) => {
    latency.addDevice(device, device)
    own.forEach((each, artifact) => {
      latency.seed(device, artifact, each)
    })
    scheduler.addDevice(device, device, 1)
  })
  return { latency, scheduler }
}

describe('the chance to be in time', () => {
  // The second kind is slow at all else, so that its time is cheap.
  const CHEAP = [
    [80, 10],
    [100, 100]
  ]

  it('sends work to the cheap device while that has ample time, to the fast one when it may well be late', () => {
    for (const [deadlineMs, device] of [
      [1_000, 1],
      [105, 0]
    ] as const) {
      const { scheduler } = fleet(CHEAP)
      scheduler.offer(job(0, deadlineMs))
      expect(scheduler.place(0)?.device).toBe(device)
    }
  })

  it('leaves a device the work that it will surely do in time, before what it may well be late with', () => {
    for (const [certainty, first] of [
      [0, 0],
      [2, 1]
    ] as const) {
      const { scheduler } = fleet([[100, 100]], { weights: { ...DEFAULT_WEIGHTS, work: { certainty } } })
      const works = [job(0, 101), job(1, 400)]
      for (const each of works) scheduler.offer(each)
      expect(scheduler.placeOn(0, 0)?.work).toBe(works[first])
    }
  })

  it('waits longer for a busy device where the free one may well be late', () => {
    // The fast device is busy until 50: done at 90, beside 100 for the free one.
    for (const [deadlineMs, waits] of [
      [1_000, false],
      [105, true]
    ] as const) {
      const { scheduler } = fleet([
        [40, 50],
        [100, 1_000]
      ])
      scheduler.offer(job(1, 1_000))
      expect(scheduler.place(0)?.device).toBe(0)
      scheduler.offer(job(0, deadlineMs))
      expect(scheduler.place(0) === null).toBe(waits)
    }
  })

  it('counts for as unsure what never ran on the kind: no work is kept from it for a guess', () => {
    const latency = new LatencyModel()
    const scheduler = new ActiveScheduler(latency)
    latency.addDevice(0, 0)
    scheduler.addDevice(0, 0, 1)
    const unknown = job(0, 50)
    scheduler.offer(unknown)
    expect(scheduler.place(0)?.work).toBe(unknown)
  })
})
