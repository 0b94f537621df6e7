import { once } from 'node:events'
import type { Explanation, Job, Problem } from '@skerry/contracts'
import { rowsOf, type SimulatedDevice } from '@skerry/testkit'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { skerry } from './cli.ts'
import { deploy, inputOf, simulatedModel, summingDevice, sumOf } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

const job = (more: object = {}) => ({ kind: 'inference', model: 'sum', inputs: inputOf([1, 2, 3, 4]), ...more })

describe('scheduling, on a control plane with simulated devices', () => {
  let stack: Stack
  let north: SimulatedDevice
  let south: SimulatedDevice
  const sums = new Map<SimulatedDevice, NonNullable<SimulatedDevice['options']['onAssign']>>()

  beforeAll(async () => {
    stack = await Stack.start({ scheduling: { maxQueued: 50, heldPerPool: 20 } })
    await simulatedModel(stack, 'sum', [{ recipe: 'float32', accuracy: 0.95 }])
    north = await summingDevice(stack, 'north')
    south = await summingDevice(stack, 'south')
    for (const device of [north, south]) {
      const sum = device.options.onAssign
      // Longer than any deadline that is to be infeasible.
      device.options.onAssign = async (frame, body) => {
        await new Promise((resolve) => setTimeout(resolve, 3))
        return sum?.(frame, body) ?? null
      }
      sums.set(device, device.options.onAssign)
    }
    await deploy(stack, 'sum', 2)
    await patch(north, { labels: { site: 'north' } })
    await patch(south, { labels: { site: 'south' } })
  })
  afterAll(async () => {
    await north.close()
    await south.close()
    await stack.stop()
  })
  afterEach(async () => {
    for (const device of [north, south]) device.options.onAssign = sums.get(device) ?? (() => null)
    for (const device of [north, south]) {
      await patch(device, { taints: [] })
      await stack.must('POST', `/devices/${device.deviceId}/uncordon`)
    }
  })

  const patch = (device: SimulatedDevice, changes: object) =>
    stack.must('PATCH', `/devices/${device.deviceId}`, changes)
  const submit = async (more: object = {}) => (await stack.must<Job>('POST', '/jobs', job(more))).id
  const explain = (id: string) => stack.must<Explanation>('GET', `/jobs/${id}/explanation`)
  const ranOn = async (id: string) => (await stack.ended(id)).attempts.map(({ device }) => device)
  /** Jobs that are given to the device stay there until the returned function is called. */
  const hold = (device: SimulatedDevice) => {
    const answer = sums.get(device)
    let open: () => void = () => undefined
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    device.options.onAssign = async (frame, body) => {
      await gate
      return answer?.(frame, body) ?? null
    }
    return open
  }

  it('follows selectors by value, set and existence, and taints with their tolerations', async () => {
    expect(await ranOn(await submit({ selector: { site: 'south' } }))).toEqual([south.deviceId])
    expect(await ranOn(await submit({ selector: { site: { in: ['north', 'west'] } } }))).toEqual([north.deviceId])
    expect(await ranOn(await submit({ selector: { site: { notIn: ['north'] } } }))).toEqual([south.deviceId])
    const nowhere = await submit({ selector: { site: { exists: false } } })
    await patch(north, { taints: ['lab=1:NoSchedule'] })
    for (let i = 0; i < 4; i++) expect(await ranOn(await submit())).toEqual([south.deviceId])
    expect(await ranOn(await submit({ selector: { site: 'north' }, tolerations: ['lab'] }))).toEqual([north.deviceId])
    expect((await stack.must<Job>('GET', `/jobs/${nowhere}`)).state).toBe('queued')
    await stack.must('POST', `/jobs/${nowhere}/cancel`)
  })

  it('gives a device that is cordoned or drained by the command line no work until it is taken back', async () => {
    for (const [change, state] of [
      ['cordon', 'cordoned'],
      ['drain', 'draining']
    ] as const) {
      expect(await skerry(stack, 'devices', change, 'south')).toBe(`south is ${state}\n`)
      expect(await skerry(stack, 'devices')).toMatch(new RegExp(`^south +${state} `, 'm'))
      for (let i = 0; i < 4; i++) expect(await ranOn(await submit())).toEqual([north.deviceId])
      expect(await skerry(stack, 'devices', 'uncordon', 'south')).toBe('south is online\n')
      expect(await ranOn(await submit({ selector: { site: 'south' } }))).toEqual([south.deviceId])
    }
    await expect(skerry(stack, 'devices', 'cordon', 'nobody')).rejects.toThrow('device-unknown')
    expect(await skerry(stack, 'deployments', 'list')).toMatch(/^sum-all +ready +south /m)
  }, 30_000)

  it('explains a job that waits, one that ran and one that expired, by every device', async () => {
    await stack.must('POST', `/devices/${south.deviceId}/cordon`)
    const waiting = await submit({ selector: { site: 'south' } })
    await eventually(async () => (await explain(waiting)).rejected.length === 3)
    const why = await explain(waiting)
    expect(why.candidates).toEqual([])
    expect(why.rejected).toContainEqual({
      filter: 'selector',
      reason: 'label site is north, not as selected',
      count: 1,
      examples: [north.deviceId]
    })
    expect(why.names?.[north.deviceId]).toBe('north')
    expect(why.summary).toContain('1 cordoned')
    await stack.must('POST', `/devices/${south.deviceId}/uncordon`)
    await stack.ended(waiting)
    const placed = await explain(waiting)
    expect(placed.candidates.find(({ chosen }) => chosen)?.device).toBe(south.deviceId)
    expect(placed.summary).toContain('placed on south')

    expect(await skerry(stack, 'jobs', 'explain', waiting)).toMatch(/^south .*yes$/m)

    const expired = await submit({ deadlineMs: 300, admission: 'best-effort', selector: { site: 'east' } })
    expect((await stack.ended(expired)).state).toBe('expired')
    // Until it is written, what is answered is by what is known now.
    const written = 'SELECT id FROM jobs WHERE id = $1 AND explanation IS NOT NULL'
    await eventually(async () => (await rowsOf(stack.config.databaseUrl, written, [expired])).length === 1)
    await patch(north, { labels: { site: 'east' } })
    const kept = await explain(expired)
    await patch(north, { labels: { site: 'north' } })
    expect(kept.rejected.map(({ reason }) => reason).sort()).toEqual([
      'label site is north, not as selected',
      'label site is south, not as selected',
      'offline'
    ])
  })

  it('refuses a strict deadline that cannot be met, with the earliest that can, and tries a best-effort one', async () => {
    await stack.ended(await submit())
    const answer = await stack.call<Problem>('POST', '/jobs', job({ deadlineMs: 1, admission: 'strict' }))
    expect([answer.status, answer.body.code]).toEqual([409, 'deadline-infeasible'])
    expect(answer.body.earliestFinishMs).toBeGreaterThan(1)
    const generous = await submit({ deadlineMs: (answer.body.earliestFinishMs ?? 0) + 10_000 })
    expect((await stack.ended(generous)).state).toBe('succeeded')
    const tried = await submit({ deadlineMs: 1, admission: 'best-effort' })
    expect(['succeeded', 'expired']).toContain((await stack.ended(tried)).state)

    const nobody = await stack.call<Problem>('POST', '/jobs', job({ deadlineMs: 5_000, selector: { site: 'moon' } }))
    expect([nobody.status, nobody.body.code, nobody.body.earliestFinishMs]).toEqual([409, 'deadline-infeasible', null])
    // Not told beside a refusal while the passes over the fleet have taken their share of the time.
    await eventually(async () => {
      const again = await stack.call<Problem>('POST', '/jobs', job({ deadlineMs: 5_000, selector: { site: 'moon' } }))
      return again.body.detail?.includes('label site is north') ?? false
    })
  })

  it('answers a key that was taken before, also when its deadline could not be met any more', async () => {
    const headers = { 'idempotency-key': 'early' }
    const body = job({ deadlineMs: 20_000, selector: { site: 'south' } })
    const one = await stack.must<Job>('POST', '/jobs', body, headers)
    await stack.ended(one.id)
    await stack.must('POST', `/devices/${south.deviceId}/cordon`)
    const again = await stack.call<Job>('POST', '/jobs', body, headers)
    await stack.must('POST', `/devices/${south.deviceId}/uncordon`)
    expect([again.status, again.body.id]).toEqual([202, one.id])
  })

  it('never gives a device more jobs than it has slots, though it serves several pools', async () => {
    await simulatedModel(stack, 'other', [{ recipe: 'float32', accuracy: 0.95 }])
    await deploy(stack, 'other', 2)
    let running = 0
    let most = 0
    const answer = sums.get(north)
    north.options.onAssign = async (frame, body) => {
      most = Math.max(most, ++running)
      await new Promise((resolve) => setTimeout(resolve, 2))
      running -= 1
      return answer?.(frame, body) ?? null
    }
    const ids = await Promise.all(
      Array.from({ length: 36 }, (_, i) => submit({ model: i % 2 === 0 ? 'sum' : 'other', ...targeted(i) }))
    )
    for (const id of ids) expect((await stack.ended(id)).state).toBe('succeeded')
    expect(most).toBe(1)
  })
  const targeted = (i: number) => (i % 3 === 0 ? { device: north.deviceId } : {})

  it('lets the earliest deadline go first within a class, and the higher class before all', async () => {
    const open = hold(south)
    const taken = once(south.events, 'assign')
    const here = { selector: { site: 'south' } }
    const first = await submit(here)
    await taken
    const order: string[] = []
    south.events.on('assign', (frame: { jobId: string }) => order.push(frame.jobId))
    const plain = await submit(here)
    const late = await submit({ ...here, deadlineMs: 20_000 })
    const soon = await submit({ ...here, deadlineMs: 10_000 })
    const high = await submit({ ...here, priority: 50 })
    await eventually(async () => (await explain(high)).summary.includes('busy'))
    open()
    for (const id of [first, plain, late, soon, high]) expect((await stack.ended(id)).state).toBe('succeeded')
    south.events.removeAllListeners('assign')
    expect(order).toEqual([high, soon, late, plain])
  })

  it('keeps jobs of one model apart over the values of a label', async () => {
    const open = [hold(north), hold(south)]
    const spread = { spread: { label: 'site' }, selector: { site: { exists: true } } }
    const ids = [await submit(spread), await submit(spread)]
    await eventually(async () => {
      const states = await Promise.all(ids.map((id) => stack.must<Job>('GET', `/jobs/${id}`)))
      return states.every(({ state }) => state === 'running')
    })
    for (const each of open) each()
    const devices = await Promise.all(ids.map(ranOn))
    expect(devices.flat().sort()).toEqual([north.deviceId, south.deviceId].sort())
  })

  it('tells submitters to come later when a pool is full, and takes them again once it drains', async () => {
    await stack.must('POST', `/devices/${south.deviceId}/cordon`)
    const open = hold(north)
    const ids: string[] = []
    const refused = await eventually(async () => {
      const answer = await stack.call<Job & Problem>('POST', '/jobs', job())
      if (answer.status === 202) ids.push(answer.body.id)
      return answer.status === 429 && answer
    }, 60_000)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
    expect(refused.body.retryAfterMs).toBeGreaterThanOrEqual(1000)
    const lines = await stack.must<string>('POST', '/jobs/batch', `${JSON.stringify(job({ id: 'full' }))}\n`, {
      'content-type': 'application/x-ndjson'
    })
    expect(JSON.parse(lines)).toMatchObject({ id: 'full', status: 429, problem: { code: 'too-many-requests' } })
    open()
    await stack.must('POST', `/devices/${south.deviceId}/uncordon`)
    for (const id of ids) expect((await stack.ended(id, 60_000)).state).toBe('succeeded')
    await eventually(async () => (await stack.call('POST', '/jobs', job())).status === 202)
  }, 120_000)

  it('goes by what a benchmark job measured, as soon as that has ended', async () => {
    await simulatedModel(stack, 'timed', [{ recipe: 'float32', accuracy: 0.95 }])
    await deploy(stack, 'timed', 2)
    const tenMinutesMs = 600_000
    for (const device of [north, south]) {
      device.options.onAssign = ({ work }, body) => {
        if (work.kind !== 'benchmark') return sumOf(body)
        const { artifact, runtime } = work
        const times = { initMs: 1, firstMs: 1, p50Ms: tenMinutesMs, p99Ms: tenMinutesMs }
        return { frame: { benchmark: { artifact, runtime, runs: 50, ...times } } }
      }
      const timed = await stack.must<Job>('POST', `/devices/${device.deviceId}/benchmark`, { deployment: 'timed-all' })
      expect((await stack.ended(timed.id)).state).toBe('succeeded')
    }
    const refused = await eventually(async () => {
      const answer = await stack.call<Problem>('POST', '/jobs', { ...job({ deadlineMs: 60_000 }), model: 'timed' })
      return answer.status === 409 && answer.body
    })
    expect(refused.earliestFinishMs).toBeGreaterThan(tenMinutesMs / 2)
  })
})
