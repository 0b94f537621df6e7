import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ActiveScheduler, type Demand, LatencyModel, type PendingWork } from '../src/index.ts'

const DEVICES = 6
const KINDS = 2
const ARTIFACTS = 3

const measured = (): LatencyModel => {
  const latency = new LatencyModel()
  for (let d = 0; d < DEVICES; d++) latency.addDevice(d, d % KINDS)
  return latency
}
const fleet = (latency: LatencyModel): ActiveScheduler => {
  const scheduler = new ActiveScheduler(latency)
  for (let d = 0; d < DEVICES; d++) scheduler.addDevice(d, d % KINDS, 0)
  return scheduler
}

type Step = { at: number; demand: number; slackMs: number; priority: number; runMs: number }
const steps = fc.array(
  fc.record({
    at: fc.integer({ min: 0, max: 200 }),
    demand: fc.integer({ min: 0, max: 4 }),
    slackMs: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(Number.POSITIVE_INFINITY)),
    priority: fc.integer({ min: 0, max: 2 }),
    runMs: fc.integer({ min: 1, max: 60 })
  }),
  { maxLength: 60 }
)
/** Which devices each demand may use: a device is in up to five pools. */
const pools = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: DEVICES - 1 })), { minLength: 5, maxLength: 5 })
const slots = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: DEVICES, maxLength: DEVICES })

type Trace = {
  started: { id: string; device: number; atMs: number }[]
  dropped: string[]
  left: number
  peak: number[]
}

/** A small world in virtual time: arrivals by `at`, runs that take what the step says. */
function play(script: Step[], may: number[][], capacity: number[]): Trace {
  const latency = measured()
  for (let d = 0; d < KINDS; d++) for (let a = 0; a < ARTIFACTS; a++) latency.observe(d, a, 10 + 10 * d + 5 * a)
  const scheduler = fleet(latency)
  capacity.forEach((free, device) => {
    scheduler.setSlots(device, free)
  })
  const demands: Demand[] = may.map((devices, i) => ({
    key: `pool-${i}`,
    artifact: i % ARTIFACTS,
    admits: (device) => devices.includes(device)
  }))
  const arrivals = script.map((step, order) => ({ ...step, order })).sort((a, b) => a.at - b.at || a.order - b.order)
  const running: { endMs: number; device: number }[] = []
  const busy = Array.from({ length: DEVICES }, () => 0)
  const trace: Trace = { started: [], dropped: [], left: 0, peak: Array.from({ length: DEVICES }, () => 0) }
  const start = (work: PendingWork, device: number, nowMs: number) => {
    busy[device] = (busy[device] ?? 0) + 1
    trace.peak[device] = Math.max(trace.peak[device] ?? 0, busy[device] ?? 0)
    trace.started.push({ id: work.id, device, atMs: nowMs })
    running.push({ endMs: nowMs + (script[work.order]?.runMs ?? 1), device })
    running.sort((a, b) => a.endMs - b.endMs)
  }
  while (arrivals.length > 0 || running.length > 0) {
    const next = arrivals[0]
    const end = running[0]
    if (next !== undefined && (end === undefined || next.at <= end.endMs)) {
      arrivals.shift()
      const work: PendingWork = {
        id: `job-${next.order}`,
        order: next.order,
        demand: demands[next.demand] as Demand,
        priority: next.priority,
        deadlineMs: next.at + next.slackMs,
        submittedAtMs: next.at
      }
      scheduler.offer(work)
      const placed = scheduler.placeNew(work, next.at)
      if (placed !== null) start(placed.work, placed.device, next.at)
      continue
    }
    if (end === undefined) break
    running.shift()
    busy[end.device] = (busy[end.device] ?? 0) - 1
    for (const work of scheduler.takeHopeless(end.endMs)) trace.dropped.push(work.id)
    scheduler.setSlots(end.device, (capacity[end.device] ?? 0) - (busy[end.device] ?? 0))
    for (let placed = scheduler.placeOn(end.device, end.endMs); placed !== null; ) {
      start(placed.work, placed.device, end.endMs)
      placed = scheduler.placeOn(end.device, end.endMs)
    }
  }
  for (const work of scheduler.takeHopeless(Number.MAX_SAFE_INTEGER)) trace.dropped.push(work.id)
  trace.left = scheduler.waiting
  return trace
}

describe('the active scheduler', () => {
  it('places work only on a device that its filters admit', () => {
    fc.assert(
      fc.property(steps, pools, slots, (script, may, capacity) => {
        for (const { id, device } of play(script, may, capacity).started) {
          const demand = script[Number(id.slice(4))]?.demand ?? -1
          expect(may[demand]).toContain(device)
        }
      })
    )
  })

  it('never gives a device in several pools more than its slots', () => {
    fc.assert(
      fc.property(steps, pools, slots, (script, may, capacity) => {
        play(script, may, capacity).peak.forEach((peak, device) => {
          expect(peak).toBeLessThanOrEqual(capacity[device] ?? 0)
        })
      })
    )
  })

  it('starves nothing under finite load: what has no deadline and an eligible device is run once', () => {
    fc.assert(
      fc.property(steps, pools, slots, (script, may, capacity) => {
        const { started } = play(script, may, capacity)
        expect(new Set(started.map(({ id }) => id)).size).toBe(started.length)
        script.forEach((step, order) => {
          if (step.slackMs !== Number.POSITIVE_INFINITY || may[step.demand]?.length === 0) return
          expect(started.map(({ id }) => id)).toContain(`job-${order}`)
        })
      })
    )
  })

  it('accounts for every job: started, dropped as hopeless, or still waiting', () => {
    fc.assert(
      fc.property(steps, pools, slots, (script, may, capacity) => {
        const { started, dropped, left } = play(script, may, capacity)
        expect(started.length + dropped.length + left).toBe(script.length)
      })
    )
  })

  it('starts no job whose predicted finish is past its deadline', () => {
    fc.assert(
      fc.property(steps, pools, slots, (script, may, capacity) => {
        for (const { id, atMs } of play(script, may, capacity).started) {
          const step = script[Number(id.slice(4))] as Step
          expect(atMs).toBeLessThan(step.at + step.slackMs)
        }
      })
    )
  })

  it('decides the same for the same snapshot', () => {
    fc.assert(
      fc.property(steps, pools, slots, (script, may, capacity) => {
        expect(play(script, may, capacity)).toEqual(play(script, may, capacity))
      })
    )
  })

  it('lets a job that only a busy device may do hold up nobody behind it', () => {
    const latency = measured()
    for (let d = 0; d < KINDS; d++) latency.observe(d, 0, 10)
    const scheduler = fleet(latency)
    const demand = (key: string, only: number): Demand => ({ key, artifact: 0, admits: (device) => device === only })
    const work = (order: number, to: Demand): PendingWork => ({
      id: `job-${order}`,
      order,
      demand: to,
      priority: 0,
      deadlineMs: Number.POSITIVE_INFINITY,
      submittedAtMs: 0
    })
    scheduler.offer(work(0, demand('busy', 1)))
    scheduler.offer(work(1, demand('free', 0)))
    scheduler.setSlots(0, 1)
    expect(scheduler.placeOn(0, 0)?.work.id).toBe('job-1')
  })

  it('puts a higher class first, whatever the deadlines', () => {
    const latency = measured()
    for (let d = 0; d < KINDS; d++) latency.observe(d, 0, 10)
    const scheduler = fleet(latency)
    const all: Demand = { key: 'all', artifact: 0, admits: () => true }
    const work = (order: number, priority: number, deadlineMs: number): PendingWork => ({
      id: `job-${order}`,
      order,
      demand: all,
      priority,
      deadlineMs,
      submittedAtMs: 0
    })
    scheduler.offer(work(0, 0, 30))
    scheduler.offer(work(1, 5, 1000))
    scheduler.setSlots(0, 2)
    expect(scheduler.placeOn(0, 0)?.work.id).toBe('job-1')
    expect(scheduler.placeOn(0, 0)?.work.id).toBe('job-0')
    expect(scheduler.placeOn(0, 0)).toBeNull()
  })
})
