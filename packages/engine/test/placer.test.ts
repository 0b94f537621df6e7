import type { WaitingJob } from '@skerry/registry'
import { createMetrics } from '@skerry/telemetry'
import { describe, expect, it } from 'vitest'
import { jobKey, type Session } from '../src/devices/fleet.ts'
import { Placer } from '../src/scheduling/placer.ts'

const sessionOf = (deviceId: string, labels: Session['labels']): Session => ({
  deviceId,
  name: deviceId,
  session: 1,
  replicaId: 'r',
  link: { send: () => undefined, close: () => undefined },
  state: 'online',
  labels,
  taints: [],
  capabilities: ['infer'],
  facts: { arch: 'x64', os: 'linux', cpuModel: 'c', cores: 1, memoryBytes: 1, diskFreeBytes: 1, runtimes: [] },
  slots: { infer: 2, convert: 0 },
  health: null,
  running: new Map(),
  ready: new Map([['d', { artifact: 'a', variant: 'float32', runtime: 'litert' }]])
})
const jobOf = (id: string, more: Partial<WaitingJob> = {}): WaitingJob => ({
  ...{ id, epoch: 1, pool: 'deployment-d', priority: 0, kind: 'inference', model: 'm', deployment: 'd' },
  ...{ target_device_id: null, selector: {}, terms: {} },
  ...{ created_ms: 0, expires_ms: 86_400_000, ...more }
})

/** A placer over these sessions, whose decisions take their slots as the dispatcher would. */
function placing(...sessions: Session[]) {
  const clock = { nowMs: 0 }
  const placer = new Placer({ support: () => null, metrics: createMetrics(), nowMs: () => clock.nowMs })
  for (const session of sessions) placer.upsert(session)
  const decide = () =>
    placer.decide(100).map(({ job, session }) => {
      session.running.set(jobKey(job.id, job.epoch), 'infer')
      placer.credits(session)
      return `${job.id} on ${session.deviceId}`
    })
  return { placer, decide, clock }
}

describe('Placer', () => {
  const spread = { terms: { spread: { label: 'site' } } }

  it('keeps jobs apart over a label, by what the devices carry now', () => {
    const [one, two] = [sessionOf('one', { site: 'a' }), sessionOf('two', { site: 'b' })]
    const { placer, decide } = placing(one, two)
    for (const id of ['1', '2']) placer.offer(jobOf(id, spread))
    expect(new Set(decide().map((each) => each.split(' on ')[1]))).toEqual(new Set(['one', 'two']))
    // Each site has its share; a third site takes one more, and so does a site that is all there is.
    placer.offer(jobOf('3', spread))
    expect(decide()).toHaveLength(1)
    placer.offer(jobOf('4', spread))
    expect(decide()).toHaveLength(1)
    placer.ended('one', [...one.running.keys()][0] ?? '', 5)
    one.running.delete([...one.running.keys()][0] ?? '')
    placer.credits(one)
    two.labels = { site: 'a' }
    placer.upsert(two)
    placer.offer(jobOf('5', spread))
    expect(decide()).toEqual(['5 on one'])
  })

  it('gives no more than the slots, and forgets what a device ran that is gone', () => {
    const one = sessionOf('one', { site: 'a' })
    const { placer, decide } = placing(one)
    for (const id of ['1', '2', '3']) placer.offer(jobOf(id, spread))
    expect(decide()).toHaveLength(2)
    placer.remove('one')
    expect(decide()).toEqual([])
    const back = sessionOf('one', { site: 'a' })
    placer.upsert(back)
    expect(decide()).toEqual(['3 on one'])
  })

  it('keeps work in its pool beyond the room for it', () => {
    const placer = new Placer({ support: () => null, metrics: createMetrics(), nowMs: () => 0, poolRoom: 2 })
    for (const id of ['1', '2']) expect(placer.offer(jobOf(id))).toBe(true)
    expect(placer.room('deployment-d')).toBe(0)
    expect(placer.room('deployment-other')).toBe(2)
    placer.forget(jobKey('1', 1))
    expect(placer.room('deployment-d')).toBe(1)
  })

  it('says nothing of when work would end that never ran, and something once it did', () => {
    const one = sessionOf('one', {})
    const { placer, decide } = placing(one)
    expect(placer.outlook(jobOf('x'), 1_000)).toBe('unknown')
    placer.offer(jobOf('1'))
    decide()
    placer.ended('one', jobKey('1', 1), 40)
    const outlook = placer.outlook(jobOf('x'), 1_000)
    expect(outlook).toHaveLength(1)
    expect(outlook).toMatchObject([{ aheadMs: 0, logMs: expect.closeTo(Math.log(40), 1) }])
    placer.remove('one')
    expect(placer.outlook(jobOf('x'), 1_000)).toEqual([])
  })

  it('knows nothing of a deployment that takes the place of a deleted one', () => {
    const one = sessionOf('one', {})
    const { placer, decide } = placing(one)
    for (let i = 0; i < 10; i++) {
      placer.offer(jobOf(`${i}`))
      decide()
      one.running.clear()
      placer.credits(one)
      placer.ended('one', jobKey(`${i}`, 1), 40)
    }
    placer.forgetDeployment('d')
    const next = jobOf('x', { deployment: 'e' })
    expect(placer.outlook(next, 1_000)).toBe('unknown')
    one.ready.set('e', { artifact: 'b', variant: 'float32', runtime: 'litert' })
    placer.upsert(one)
    placer.seed('one', 'e', { p50Ms: 5, runs: 50 })
    expect(placer.outlook(next, 1_000)).toMatchObject([{ logMs: expect.closeTo(Math.log(5), 1) }])
  })

  it('has a device time again what it was measured at long ago, once work is refused for it, and believes that', () => {
    const one = sessionOf('one', {})
    const { placer, decide, clock } = placing(one)
    clock.nowMs = 1
    for (let i = 0; i < 10; i++) {
      placer.offer(jobOf(`${i}`))
      decide()
      one.running.clear()
      placer.credits(one)
      placer.ended('one', jobKey(`${i}`, 1), 400)
    }
    const logMs = () => {
      const [outlook] = placer.outlook(jobOf('x'), 100)
      return typeof outlook === 'object' ? outlook.logMs : Number.NaN
    }
    placer.outlook(jobOf('x'), 100)
    expect(placer.takeMeasurementWishes()).toEqual([])
    placer.seed('one', 'd', { p50Ms: 20, runs: 50 })
    expect(logMs()).toBeCloseTo(Math.log(400), 1)
    clock.nowMs = 3_600_000
    placer.outlook(jobOf('x'), 10_000)
    expect(placer.takeMeasurementWishes()).toEqual([])
    placer.outlook(jobOf('x'), 100)
    expect(placer.takeMeasurementWishes()).toEqual([{ deviceId: 'one', deployment: 'd', variant: 'float32' }])
    placer.seed('one', 'd', { p50Ms: 20, runs: 50 })
    expect(logMs()).toBeCloseTo(Math.log(20), 1)
  })
})
