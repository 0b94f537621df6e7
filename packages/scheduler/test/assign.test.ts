import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { assign, mayRun, type SchedulableDevice, type SchedulableJob, slotKind } from '../src/index.ts'

const ids = ['d0', 'd1', 'd2', 'd3']
const device = fc.record({
  accepts: fc.boolean(),
  free: fc.record({ infer: fc.nat(3), convert: fc.nat(1) }),
  labels: fc.constantFrom<Record<string, string>>({}, { site: 'a' }, { site: 'b' }),
  ready: fc.subarray(['x', 'y']),
  lastAssignedAtMs: fc.nat(5)
})
const devices = fc.array(device, { maxLength: 4 }).map((all) =>
  all.map(
    (each, i): SchedulableDevice => ({
      ...each,
      id: ids[i] as string,
      ready: new Map(each.ready.map((name) => [name, { artifact: name, variant: 'float32', runtime: 'litert' }]))
    })
  )
)
const jobs = fc
  .array(
    fc.record({
      kind: fc.constantFrom('inference' as const, 'conversion' as const, 'benchmark' as const),
      deployment: fc.constantFrom('x', 'y'),
      targetDeviceId: fc.option(fc.constantFrom(...ids), { nil: null }),
      selector: fc.constantFrom<Record<string, string>>({}, { site: 'a' })
    }),
    { maxLength: 12 }
  )
  .map((all) => all.map((each, i): SchedulableJob => ({ ...each, id: `j${i}`, epoch: 1 })))

describe('assign', () => {
  it('never oversells a slot, bypasses a filter or gives a job twice', () => {
    fc.assert(
      fc.property(jobs, devices, (waiting, fleet) => {
        const given = assign(waiting, fleet)
        expect(new Set(given.map(({ job }) => job.id)).size).toBe(given.length)
        for (const each of fleet) {
          const here = given.filter(({ deviceId }) => deviceId === each.id)
          for (const { job } of here) expect(mayRun(job, each)).toBe(true)
          for (const slot of ['infer', 'convert'] as const)
            expect(here.filter(({ job }) => slotKind(job.kind) === slot).length).toBeLessThanOrEqual(each.free[slot])
        }
      })
    )
  })

  it('leaves no job waiting while a slot that could take it stays free', () => {
    fc.assert(
      fc.property(jobs, devices, (waiting, fleet) => {
        const given = assign(waiting, fleet)
        const left = waiting.filter((job) => !given.some((each) => each.job.id === job.id))
        for (const job of left)
          for (const each of fleet) {
            const used = given.filter(
              (a) => a.deviceId === each.id && slotKind(a.job.kind) === slotKind(job.kind)
            ).length
            if (mayRun(job, each)) expect(used).toBe(each.free[slotKind(job.kind)])
          }
      })
    )
  })

  it('answers the same for the same snapshot', () => {
    fc.assert(
      fc.property(jobs, devices, (waiting, fleet) => {
        expect(assign(waiting, fleet)).toEqual(assign(structuredClone(waiting), structuredClone(fleet)))
      })
    )
  })

  it('serves the older job first, on the device that was idle longest', () => {
    const idle = (id: string, lastAssignedAtMs: number): SchedulableDevice => ({
      ...{ id, labels: {}, accepts: true, free: { infer: 1, convert: 0 }, lastAssignedAtMs },
      ready: new Map([['x', { artifact: 'x', variant: 'float32', runtime: 'litert' }]])
    })
    const job = (id: string): SchedulableJob => ({
      ...{ id, epoch: 1, kind: 'inference', deployment: 'x', targetDeviceId: null, selector: {} }
    })
    const given = assign([job('old'), job('young'), job('late')], [idle('recent', 9), idle('rested', 1)])
    expect(given.map(({ job: { id }, deviceId }) => [id, deviceId])).toEqual([
      ['old', 'rested'],
      ['young', 'recent']
    ])
  })
})
