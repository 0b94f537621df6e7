import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ActiveScheduler, type Demand, LatencyModel, type PendingWork, type SchedulerConfig } from '../src/index.ts'

function schedulerOf(config: Partial<SchedulerConfig>): ActiveScheduler {
  const latency = new LatencyModel()
  const scheduler = new ActiveScheduler(latency, config)
  latency.addDevice(0, 0)
  scheduler.addDevice(0, 0, 0)
  return scheduler
}
let order = 0
const work = (pool: string, priority = 0, selector = '', admits = () => true): PendingWork => {
  const demand: Demand = { key: `${pool} ${selector}`, pool, artifact: 0, admits }
  const deadlineMs = Number.POSITIVE_INFINITY
  return { id: `job-${order}`, order: order++, demand, priority, deadlineMs, submittedAtMs: 0 }
}
const flood = (scheduler: ActiveScheduler, next: (i: number) => PendingWork): number => {
  for (let i = 0; ; i++) if (!scheduler.offer(next(i))) return i
}

describe('room in the heap', () => {
  it('says how many more of a pool and class it takes', () => {
    const scheduler = schedulerOf({ bound: 100 })
    const room = scheduler.room('a', 0)
    expect(flood(scheduler, () => work('a'))).toBe(room)
    expect(scheduler.room('a', 0)).toBe(0)
    expect(room).toBe(40)
  })

  it('keeps a pool whose devices are all away, or that is flooded, from keeping the others out', () => {
    const scheduler = schedulerOf({ bound: 100 })
    for (let pool = 0; pool < 5; pool++) flood(scheduler, () => work(`away-${pool}`, 0, '', () => false))
    expect(scheduler.waiting).toBeLessThan(100)
    const runnable = work('runnable')
    expect(scheduler.offer(runnable)).toBe(true)
    scheduler.setSlots(0, 1)
    expect(scheduler.placeOn(0, 0)?.work).toBe(runnable)
  })

  it('keeps room for the other classes, and for one more pool of a class that is full', () => {
    const scheduler = schedulerOf({ bound: 1000 })
    for (let pool = 0; pool < 50; pool++) flood(scheduler, () => work(`low-${pool}`))
    const lowOnes = scheduler.waiting
    expect(lowOnes).toBeLessThanOrEqual(800)
    expect(scheduler.room('high', 9)).toBeGreaterThan(50)
  })

  it('gives back the room of what left', () => {
    const scheduler = schedulerOf({ bound: 25 })
    const works = Array.from({ length: 10 }, () => work('a', 3))
    for (const each of works) expect(scheduler.offer(each)).toBe(true)
    expect(scheduler.room('a', 3)).toBe(0)
    scheduler.forget(works[0] as PendingWork)
    scheduler.setSlots(0, 1)
    expect(scheduler.placeOn(0, 0)).not.toBeNull()
    expect(scheduler.room('a', 3)).toBe(2)
    scheduler.dropLine('a ')
    expect(scheduler.room('a', 3)).toBe(10)
  })

  it('bounds the demands that wait at once, so that free-text selectors cost neither memory nor time without end', () => {
    const scheduler = schedulerOf({ bound: 100_000, lineBound: 40 })
    expect(flood(scheduler, (i) => work('a', 0, `site=${i}`))).toBe(20)
    // What waits already takes more of its own; another pool finds room for its selectors.
    expect(scheduler.offer(work('a', 0, 'site=7'))).toBe(true)
    expect(flood(scheduler, (i) => work('b', 0, `site=${i}`))).toBe(10)
    expect(scheduler.lines).toBe(30)
  })

  it('is never more than the bound, and never all taken by those that came first', () => {
    const offers = fc.array(fc.record({ pool: fc.nat(12), priority: fc.nat(3), times: fc.nat(80) }), { maxLength: 60 })
    fc.assert(
      fc.property(offers, fc.integer({ min: 200, max: 400 }), (script, bound) => {
        const scheduler = schedulerOf({ bound })
        for (const { pool, priority, times } of script)
          for (let i = 0; i < times; i++) {
            const room = scheduler.room(`pool-${pool}`, priority)
            expect(scheduler.offer(work(`pool-${pool}`, priority))).toBe(room > 0)
          }
        expect(scheduler.waiting).toBeLessThanOrEqual(bound)
        // Thirteen pools in four classes cannot take it all: a fourteenth in a fifth finds room.
        expect(scheduler.room('another', 9)).toBeGreaterThan(0)
      })
    )
  })
})
