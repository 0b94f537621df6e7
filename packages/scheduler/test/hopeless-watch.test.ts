import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ActiveScheduler, type Demand, LatencyModel, type PendingWork } from '../src/index.ts'

const LINES = 4
const EVER = Number.POSITIVE_INFINITY

describe('what is hopeless', () => {
  it('is found when its time is over, wherever it waits, and nothing else is', () => {
    const steps = fc.array(
      fc.record({
        afterMs: fc.nat(30),
        line: fc.nat(LINES - 1),
        priority: fc.nat(1),
        slackMs: fc.oneof(fc.nat(200), fc.constant(EVER)),
        change: fc.constantFrom('none', 'slow', 'fast', 'none')
      }),
      { maxLength: 40 }
    )
    fc.assert(
      fc.property(steps, (script) => {
        const latency = new LatencyModel()
        const scheduler = new ActiveScheduler(latency)
        const may = [true, true]
        for (const device of [0, 1]) {
          latency.addDevice(device, device)
          for (let line = 0; line < LINES; line++) latency.seed(device, line, (10 + 10 * line) * (1 + 3 * device))
          scheduler.addDevice(device, device, 0)
        }
        const demands = Array.from({ length: LINES }, (_, artifact): Demand => {
          return { key: `line-${artifact}`, artifact, admits: (device) => may[device] === true }
        })
        const waiting = new Set<PendingWork>()
        // By what it would take now; a line without a device waits for its deadlines.
        const isHopeless = ({ demand, deadlineMs }: PendingWork, nowMs: number) => {
          const leastMs = scheduler.eligible(demand) === 0 ? 0 : scheduler.fastestMs(demand)
          return deadlineMs <= nowMs || deadlineMs < nowMs + leastMs
        }
        let nowMs = 0
        for (const [order, { afterMs, line, priority, slackMs, change }] of script.entries()) {
          nowMs += afterMs
          if (change !== 'none') {
            may[0] = change === 'fast'
            scheduler.deviceChanged(0)
          }
          const demand = demands[line] as Demand
          const deadlineMs = nowMs + slackMs
          const work = { id: `${order}`, order, demand, priority, deadlineMs, submittedAtMs: nowMs }
          scheduler.offer(work)
          waiting.add(work)
          for (const each of scheduler.takeHopeless(nowMs)) {
            expect(isHopeless(each, nowMs)).toBe(true)
            expect(waiting.delete(each)).toBe(true)
          }
          for (const each of waiting) expect(isHopeless(each, nowMs)).toBe(false)
        }
        expect(scheduler.waiting).toBe(waiting.size)
      })
    )
  })

  it('is found in time also where the prediction grew meanwhile: within half of what was left', () => {
    const latency = new LatencyModel()
    latency.addDevice(0, 0)
    latency.seed(0, 0, 10)
    const scheduler = new ActiveScheduler(latency)
    scheduler.addDevice(0, 0, 0)
    const demand = { key: 'all', artifact: 0, admits: () => true }
    scheduler.offer({ id: 'job', order: 0, demand, priority: 0, deadlineMs: 1_000, submittedAtMs: 0 })
    expect(scheduler.takeHopeless(0)).toEqual([])
    for (let i = 0; i < 50; i++) latency.seed(0, 0, 900)
    let foundMs = 0
    while (scheduler.takeHopeless(foundMs).length === 0) foundMs += 1
    expect(foundMs).toBeLessThan(1_000 - 10)
  })

  it('keeps nothing of work that went another way', () => {
    const latency = new LatencyModel()
    latency.addDevice(0, 0)
    latency.seed(0, 0, 10)
    const scheduler = new ActiveScheduler(latency)
    scheduler.addDevice(0, 0, 0)
    for (let order = 0; order < 10_000; order++) {
      const demand = { key: `own-${order}`, artifact: 0, device: 0, admits: () => true }
      const work = { id: `${order}`, order, demand, priority: 0, deadlineMs: 1e9, submittedAtMs: 0 }
      scheduler.offer(work)
      scheduler.forget(work)
    }
    expect(scheduler.looks).toBeLessThan(200)
    expect(scheduler.takeHopeless(2e9)).toEqual([])
    expect(scheduler.looks).toBe(0)
  })
})
