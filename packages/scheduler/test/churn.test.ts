import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ActiveScheduler,
  type Demand,
  LatencyModel,
  type PendingWork,
  type Placement,
  type SchedulerConfig
} from '../src/index.ts'

const DEVICES = 7
const POOLS = 5
const KINDS = 3
const EVER = Number.POSITIVE_INFINITY

const step = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('add' as const), device: fc.nat(DEVICES - 1), slots: fc.nat(3) })
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('remove' as const), device: fc.integer({ min: 1, max: DEVICES - 1 }) })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('toggle' as const),
      device: fc.integer({ min: 1, max: DEVICES - 1 }),
      pool: fc.nat(POOLS - 1)
    })
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('load' as const),
      device: fc.nat(DEVICES - 1),
      artifacts: fc.uniqueArray(fc.nat(POOLS - 1))
    })
  },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constant('offer' as const),
      pool: fc.nat(POOLS - 1),
      own: fc.option(fc.nat(DEVICES - 1), { nil: undefined, freq: 5 }),
      priority: fc.nat(2),
      slackMs: fc.constantFrom(5, 50, 86_400_000, EVER)
    })
  },
  {
    weight: 6,
    arbitrary: fc.record({ op: fc.constant('finish' as const), which: fc.nat(20), ms: fc.nat(40), exact: fc.boolean() })
  }
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never
const scripts = fc.array(step, { maxLength: 120 })

type Run = { placement: Placement; pool: number }
type Outcome = { placed: string[]; hopeless: string[]; offered: string[]; left: string[] }

/** Devices come, vanish, change and come back under the same number in any order; device 0 stays, and may do everything. */
class World {
  readonly latency = new LatencyModel()
  readonly scheduler: ActiveScheduler
  readonly capacity = new Map<number, number>()
  readonly running: Run[] = []
  readonly may = Array.from({ length: POOLS }, (_, pool) => new Set([0, 1 + (pool % (DEVICES - 1))]))
  readonly outcome: Outcome = { placed: [], hopeless: [], offered: [], left: [] }
  readonly #poolOf = new Map<PendingWork, number>()
  #order = 0
  #nowMs = 0
  #lastDeadlineMs = 0

  constructor(hasColdStarts = false) {
    const coldStartMs = (device: number, artifact: number) => 3 * device + 5 * artifact
    this.scheduler = new ActiveScheduler(this.latency, { idleLines: 2 }, hasColdStarts ? coldStartMs : undefined)
    this.add(0, 1)
    for (let artifact = 0; artifact < POOLS; artifact += 2) this.latency.seed(0, artifact, 10 * (artifact + 1))
  }

  add(device: number, slots: number): void {
    if (this.capacity.has(device)) return
    this.capacity.set(device, slots)
    this.latency.addDevice(device, device % KINDS)
    this.scheduler.addDevice(device, device % KINDS, slots)
  }

  play(each: Step): void {
    if (each.op === 'add') this.add(each.device, each.slots)
    else if (each.op === 'remove') this.#remove(each.device)
    else if (each.op === 'toggle') {
      const pool = this.may[each.pool] as Set<number>
      if (!pool.delete(each.device)) pool.add(each.device)
      this.scheduler.deviceChanged(each.device)
    } else if (each.op === 'load') this.scheduler.setLoaded(each.device, each.artifacts)
    else if (each.op === 'offer') this.#offer(each.pool, each.priority, each.slackMs, each.own)
    else this.#finish(each.which, each.ms, each.exact)
    this.settle()
  }

  settle(): void {
    for (const work of this.scheduler.takeHopeless(this.#nowMs)) this.outcome.hopeless.push(work.id)
    for (let p = this.scheduler.place(this.#nowMs); p !== null; p = this.scheduler.place(this.#nowMs)) {
      const pool = this.#poolOf.get(p.work) as number
      const { device: own } = p.work.demand
      expect(this.may[pool]).toContain(p.device)
      if (own !== undefined) expect(p.device).toBe(own)
      this.running.push({ placement: p, pool })
      expect(this.#runsOn(p.device)).toBeLessThanOrEqual(this.capacity.get(p.device) ?? 0)
      this.outcome.placed.push(`${p.work.id} on ${p.device}`)
    }
    for (const [device, slots] of this.capacity) expect(this.scheduler.slots(device)).toBe(slots - this.#runsOn(device))
    this.#checkNobodyIdles()
  }

  /** All that runs ends, all that then starts too; time passes where only a promise is waited for. */
  drain(): void {
    for (let turns = 0; turns < 2_000; turns++) {
      if (this.running.length > 0) this.#finish(0, 1, true)
      else if (this.scheduler.nextLookMs() < EVER) this.#nowMs = this.scheduler.nextLookMs() + 1
      else if (this.#nowMs < this.#lastDeadlineMs) this.#nowMs = this.#lastDeadlineMs + 1
      else break
      this.settle()
    }
    for (let pool = 0; pool < POOLS; pool++)
      for (const key of [`pool-${pool}`, ...Array.from({ length: DEVICES }, (_, d) => `pool-${pool}-${d}`)])
        for (const work of this.scheduler.waitingOf(key)) this.outcome.left.push(work.id)
  }

  #offer(pool: number, priority: number, slackMs: number, own: number | undefined): void {
    const may = this.may[pool] as Set<number>
    const base = { pool: `pool-${pool}`, artifact: pool, admits: (device: number) => may.has(device) }
    const demand: Demand =
      own === undefined ? { ...base, key: `pool-${pool}` } : { ...base, key: `pool-${pool}-${own}`, device: own }
    const order = this.#order++
    this.#give(
      { id: `job-${order}`, order, demand, priority, deadlineMs: this.#nowMs + slackMs, submittedAtMs: this.#nowMs },
      pool
    )
    this.outcome.offered.push(`job-${order}`)
  }

  #give(work: PendingWork, pool: number): void {
    if (work.deadlineMs < EVER) this.#lastDeadlineMs = Math.max(this.#lastDeadlineMs, work.deadlineMs)
    this.#poolOf.set(work, pool)
    expect(this.scheduler.offer(work)).toBe(true)
  }

  #remove(device: number): void {
    if (!this.capacity.delete(device)) return
    this.scheduler.removeDevice(device)
    this.latency.removeDevice(device)
    const lost = this.running.filter(({ placement }) => placement.device === device)
    for (const { placement, pool } of lost) {
      this.running.splice(
        this.running.findIndex((run) => run.placement === placement),
        1
      )
      this.#give({ ...placement.work }, pool)
    }
  }

  #finish(which: number, ms: number, exact: boolean): void {
    this.#nowMs += ms
    const [run] = this.running.splice(which % Math.max(1, this.running.length), 1)
    if (run === undefined) return
    const { placement } = run
    this.latency.observe(placement.device, placement.work.demand.artifact, 1 + ms)
    if (exact) this.scheduler.release(placement)
    else this.scheduler.setSlots(placement.device, this.scheduler.slots(placement.device) + 1)
  }

  #runsOn(device: number): number {
    return this.running.filter(({ placement }) => placement.device === device).length
  }

  /** No device idles beside work that it may do, unless that is left for a busy one, and then not for ever. */
  #checkNobodyIdles(): void {
    if (this.scheduler.nextLookMs() < EVER) return
    for (const [device, slots] of this.capacity) {
      if (slots <= this.#runsOn(device)) continue
      for (const [work, pool] of this.#poolOf) {
        const { key, device: own } = work.demand
        if (work.deadlineMs < EVER || (own !== undefined && own !== device) || !this.may[pool]?.has(device)) continue
        expect([...this.scheduler.waitingOf(key)]).not.toContain(work)
      }
    }
  }
}

const played = (script: readonly Step[], hasColdStarts: boolean): World => {
  const world = new World(hasColdStarts)
  for (const each of script) world.play(each)
  return world
}

describe('a scheduler whose fleet changes under it', () => {
  it('bypasses no filter, oversells no slot and leaves nobody idle beside work, whatever comes and goes', () => {
    fc.assert(fc.property(scripts, fc.boolean(), (script, isCold) => void played(script, isCold)))
  })

  it('starves nothing under finite load: all that was taken is placed, hopeless, or waits for a device that is away', () => {
    fc.assert(
      fc.property(scripts, fc.boolean(), (script, isCold) => {
        const world = played(script, isCold)
        world.drain()
        const { offered, placed, hopeless, left } = world.outcome
        const ran = new Set(placed.map((each) => each.split(' ')[0]))
        for (const id of offered) expect(ran.has(id) || hopeless.includes(id) || left.includes(id)).toBe(true)
        // Device 0 stays and may do everything, so that only work which names another device can be left.
        expect(world.scheduler.waiting).toBe(left.length)
        for (let pool = 0; pool < POOLS; pool++) expect([...world.scheduler.waitingOf(`pool-${pool}`)]).toEqual([])
        expect([...world.scheduler.waitingOf('pool-0-0')]).toEqual([])
      })
    )
  })

  it('decides the same again', () => {
    fc.assert(
      fc.property(scripts, fc.boolean(), (script, isCold) => {
        expect(played(script, isCold).outcome).toEqual(played(script, isCold).outcome)
      })
    )
  })
})

describe('late binding', () => {
  const fleet = (slots: readonly number[], config: Partial<SchedulerConfig> = {}) => {
    const latency = new LatencyModel()
    const scheduler = new ActiveScheduler(latency, config)
    slots.forEach((free, device) => {
      latency.addDevice(device, device)
      scheduler.addDevice(device, device, free)
    })
    return { latency, scheduler }
  }
  let order = 0
  const job = (change: Partial<PendingWork> = {}): PendingWork => {
    const demand = { key: 'all', artifact: 0, admits: () => true }
    return { id: `job-${order}`, order: order++, demand, priority: 0, deadlineMs: EVER, submittedAtMs: 0, ...change }
  }

  it('binds work to whichever device becomes free first, not to the one that was expected to', () => {
    const { latency, scheduler } = fleet([1, 1])
    latency.seed(0, 0, 10)
    latency.seed(1, 0, 12)
    for (let i = 0; i < 3; i++) scheduler.offer(job())
    const first = [scheduler.place(0), scheduler.place(0)] as Placement[]
    expect(first.map(({ device }) => device).sort()).toEqual([0, 1])
    expect(scheduler.place(0)).toBeNull()
    const slower = first.find(({ device }) => device === 1) as Placement
    scheduler.release(slower)
    expect(scheduler.place(5)?.device).toBe(1)
  })

  it('gives work to the right one of several devices that became free at once', () => {
    const { latency, scheduler } = fleet([0, 0, 0])
    for (const device of [0, 1, 2]) latency.seed(device, 0, [500, 20, 100][device] as number)
    scheduler.offer(job())
    for (const device of [0, 1, 2]) scheduler.setSlots(device, 1)
    expect(scheduler.place(0)?.device).toBe(1)
  })

  it('looks behind work that is left for a busy device as deep as it is told, and by default not', () => {
    for (const laneDepth of [undefined, 8]) {
      const { latency, scheduler } = fleet([1, 0], laneDepth === undefined ? {} : { laneDepth })
      latency.seed(0, 0, 10)
      latency.seed(1, 0, 100)
      const jobs = [job(), job(), job()] as const
      for (const each of jobs) scheduler.offer(each)
      expect(scheduler.place(0)?.work).toBe(jobs[0])
      scheduler.setSlots(1, 1)
      // The second is left for device 0, which is done with it at 20; only one can be.
      const next = scheduler.place(0)
      if (laneDepth === undefined) expect(next).toBeNull()
      else expect(next).toMatchObject({ work: jobs[2], device: 1 })
    }
  })

  it('places what was left for a device that took other work instead', () => {
    const { latency, scheduler } = fleet([1, 1])
    latency.seed(0, 0, 10)
    latency.seed(1, 0, 100)
    const busy = job()
    scheduler.offer(busy)
    const running = scheduler.place(0) as Placement
    expect(running.device).toBe(0)
    const left = job()
    scheduler.offer(left)
    expect(scheduler.place(1)).toBeNull()
    const urgent = job({ priority: 9, demand: { key: 'urgent', artifact: 0, device: 0, admits: () => true } })
    scheduler.offer(urgent)
    scheduler.release(running)
    expect(scheduler.place(8)?.work).toBe(urgent)
    // Device 0 has it done at 28 now, still well before device 1 would: it waits once more, but not for ever.
    let placed = scheduler.place(8)
    expect(placed).toBeNull()
    let nowMs = 8
    while (placed === null && nowMs < 1_000) {
      nowMs = Math.max(nowMs + 1, scheduler.nextLookMs() + 1)
      placed = scheduler.place(nowMs)
    }
    expect(placed).toMatchObject({ work: left, device: 1 })
    expect(nowMs).toBeLessThan(100)
  })

  it('places what a device that became free left for another, once that vanishes', () => {
    const { latency, scheduler } = fleet([1, 0, 1])
    latency.seed(0, 0, 10)
    latency.seed(1, 0, 100)
    // The third is free, but may do none of it.
    const demand = { key: 'two', artifact: 0, admits: (device: number) => device < 2 }
    const [first, second] = [job({ demand }), job({ demand })]
    scheduler.offer(first)
    scheduler.offer(second)
    expect(scheduler.place(0)?.work).toBe(first)
    expect(scheduler.place(0)).toBeNull()
    scheduler.setSlots(1, 1)
    expect(scheduler.place(1)).toBeNull()
    scheduler.removeDevice(0)
    expect(scheduler.place(2)).toMatchObject({ work: second, device: 1 })
  })

  it('takes a slot that is free again for a run that ended, and does not wait for its end', () => {
    const { latency, scheduler } = fleet([1, 0])
    latency.seed(0, 0, 10)
    latency.seed(0, 1, 1_000)
    latency.seed(1, 0, 100)
    scheduler.offer(job())
    expect(scheduler.place(0)?.device).toBe(0)
    scheduler.setSlots(0, 1)
    scheduler.offer(job({ demand: { key: 'long', artifact: 1, device: 0, admits: () => true } }))
    expect(scheduler.place(5)?.device).toBe(0)
    scheduler.setSlots(1, 1)
    scheduler.offer(job())
    expect(scheduler.place(6)?.device).toBe(1)
  })

  it('lets old work without a deadline go before a stream of work that is always more urgent', () => {
    const { latency, scheduler } = fleet([0])
    latency.seed(0, 0, 10)
    latency.seed(0, 1, 10_000)
    const old = job({ demand: { key: 'long', artifact: 1, admits: () => true } })
    scheduler.offer(old)
    let nowMs = 0
    for (; nowMs < 86_400_000; nowMs += 10_000) {
      for (let i = 0; i < 2; i++) scheduler.offer(job({ submittedAtMs: nowMs, deadlineMs: nowMs + 60 }))
      scheduler.setSlots(0, 1)
      if (scheduler.place(nowMs)?.work === old) break
      scheduler.takeHopeless(nowMs + 9_000)
    }
    expect(nowMs).toBeGreaterThan(600_000)
    expect(nowMs).toBeLessThan(4 * 600_000)
  })
})
