import type { Deployment, Plan, PlannedDevice, PlanRequest, Problem, Variant } from '@skerry/contracts'
import type { SimulatedDevice } from '@skerry/testkit'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { skerry } from './cli.ts'
import { simulatedModel, summingDevice } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

const MB = 1_000_000

describe('plans and requirements, on a control plane with simulated devices', () => {
  let stack: Stack
  let devices: SimulatedDevice[] = []

  beforeAll(async () => {
    stack = await Stack.start()
    // Two variants of a wide model, one of a narrow one; the wide one's int8 form needs an operator that WASM lacks.
    await simulatedModel(stack, 'wide', [
      { recipe: 'float32', accuracy: 0.95, agreement: 1, details: estimate(300e6, 40 * MB) },
      { recipe: 'full_int8', accuracy: 0.93, agreement: 0.96, operator: 'NO_SUCH_OPERATOR' }
    ])
    await simulatedModel(stack, 'narrow', [
      { recipe: 'float32', accuracy: 0.9, agreement: 1, details: estimate(30e6, 5 * MB) }
    ])
  })
  afterAll(async () => {
    await stack.stop()
  })
  beforeEach(() => {
    devices = []
  })
  afterEach(async () => {
    for (const device of devices) {
      await device.close()
      await stack.must('POST', `/devices/${device.deviceId}/revoke`)
    }
  })

  const estimate = (macs: number, peakMemoryBytes: number) => ({ estimate: { macs, peakMemoryBytes } })
  const both: PlanRequest['candidates'] = [
    { model: 'wide', version: '1' },
    { model: 'narrow', version: '1' }
  ]
  const add = async (...args: Parameters<typeof summingDevice>): Promise<SimulatedDevice> => {
    const device = await summingDevice(...args)
    devices.push(device)
    return device
  }
  const plan = (request: PlanRequest) => stack.must<Plan>('POST', '/plans', request)
  const of = (planned: Plan, device: SimulatedDevice): PlannedDevice => {
    const found = planned.devices.find((entry) => entry.device === device.deviceId)
    if (found === undefined) throw new Error(`the plan leaves out ${device.options.name}`)
    return found
  }
  const artifactOf = async (model: string, variant: string): Promise<string> => {
    const { items } = await stack.must<{ items: Variant[] }>('GET', `/models/${model}/versions/1/variants`)
    return items.find((each) => each.variant === variant)?.sha256 ?? ''
  }
  /** Tells of runs that took `valueMs` each, and waits until they count. */
  const report = async (device: SimulatedDevice, model: string, variant: string, valueMs: number, seq: number) => {
    const bucket = Math.ceil(Math.log2(valueMs) * 16) - 1
    const histogram = { scale: 4, zeroCount: 0, buckets: [[bucket, 60]] }
    const artifact = await artifactOf(model, variant)
    device.send({
      type: 'latency',
      seq,
      series: [{ artifact, deployment: 'none', runtime: 'litert', histogram }]
    })
    await eventually(async () => {
      const { count } = await stack.must<{ count: number }>('GET', `/latency?model=${model}&device=${device.deviceId}`)
      return count > 0
    })
  }

  it('tells measured latency where it ran, predicts it elsewhere, and chooses between members of a family', async () => {
    const fast = await add(stack, 'fast', { facts: { cpuModel: 'fast' } })
    const slow = await add(stack, 'slow', { facts: { cpuModel: 'slow' } })
    const twin = await add(stack, 'twin', { facts: { cpuModel: 'slow' } })
    await report(fast, 'wide', 'float32', 10, 1)
    await report(fast, 'narrow', 'float32', 2, 2)
    await report(slow, 'wide', 'float32', 50, 1)
    await report(slow, 'narrow', 'float32', 10, 2)

    const planned = await plan({ candidates: both, requirements: { maxLatencyMs: 30 } })
    expect(planned.comparedBy).toBe('accuracy')
    expect(of(planned, fast)).toMatchObject({ model: 'wide', variant: 'float32', latency: { source: 'measured' } })
    expect(of(planned, fast).latency?.p95Ms).toBeCloseTo(10, 0)
    expect(of(planned, slow)).toMatchObject({ model: 'narrow', variant: 'float32', latency: { source: 'measured' } })
    expect(of(planned, slow).reasons[0]).toMatchObject({ model: 'wide', variant: 'float32', filter: 'latency' })
    expect(of(planned, slow).reasons[0]?.reason).toMatch(/^p95 measured 5\d(\.\d)? ms, allowed 30 ms$/)
    // It never ran anything: what its like ran speaks for it, and says so.
    expect(of(planned, twin)).toMatchObject({ model: 'narrow', latency: { source: 'predicted' } })
    const { p50Ms = 0, p95Ms = 0 } = of(planned, twin).latency ?? {}
    expect(p50Ms).toBeGreaterThan(6)
    expect(p50Ms).toBeLessThan(15)
    expect(p95Ms).toBeGreaterThan(p50Ms)
    expect(planned.summary).toContain('2 get narrow 1 float32')
    expect(planned.summary).toContain('1 gets wide 1 float32')
  })

  it('gives each device a choice or reasons that name what is in the way', async () => {
    const litert = await add(stack, 'litert')
    const wasm = await add(stack, 'wasm', { runtime: 'tfjs-tflite' })
    const small = await add(stack, 'small', { facts: { memoryBytes: 30 * MB } })
    const wide = [{ model: 'wide', version: '1' }]

    const free = await plan({ candidates: wide })
    expect(free.devices.length).toBeGreaterThanOrEqual(3)
    for (const entry of free.devices) expect(entry.variant !== null || entry.reasons.length > 0).toBe(true)
    expect(of(free, litert)).toMatchObject({ variant: 'float32', runtime: 'litert', reasons: [] })
    expect(of(free, small)).toMatchObject({ variant: null })
    expect(of(free, small).reasons[0]).toMatchObject({ filter: 'memory', variant: 'float32' })
    expect(of(free, small).reasons[0]?.reason).toBe('memory estimated 40 MB, available there 30 MB')
    // It was enrolled to convert.
    expect(free.devices.find((entry) => entry.deviceName === 'converter-wide')?.reasons[0]?.filter).toBe('capability')

    const reasonsOf = async (requirements: NonNullable<PlanRequest['requirements']>, device = wasm) =>
      of(await plan({ candidates: wide, requirements }), device).reasons.map(
        ({ variant, filter }) => `${variant} ${filter}`
      )
    expect(await reasonsOf({ minAgreement: 1, maxMemoryBytes: 20 * MB })).toEqual([
      'float32 memory',
      'full_int8 operators'
    ])
    expect(await reasonsOf({ maxAccuracyDrop: 0 }, small)).toEqual(['float32 memory', 'full_int8 operators'])
    const narrow = await plan({ candidates: both, requirements: { minAgreement: 0.97, maxMemoryBytes: 20 * MB } })
    expect(of(narrow, litert)).toMatchObject({ model: 'narrow', memory: { bytes: 5 * MB, source: 'estimated' } })
    const exact = await plan({ candidates: both, requirements: { maxAccuracyDrop: 0.01, maxMemoryBytes: 20 * MB } })
    expect(of(exact, litert).reasons.map(({ filter }) => filter)).toEqual(['memory', 'operators', 'accuracy'])
    expect(exact.summary).toMatch(/get nothing: .*not accurate enough|get nothing: .*too little memory/)
  })

  it('looks only at devices that carry every label, and moves nothing', async () => {
    const north = await add(stack, 'north', { labels: { site: 'north' } })
    await add(stack, 'south', { labels: { site: 'south' } })
    const planned = await plan({ candidates: both, requirements: { selector: { site: 'north' } } })
    expect(planned.devices.map(({ device }) => device)).toEqual([north.deviceId])
    expect(planned.matched).toBe(1)
    expect((await stack.must<{ items: unknown[] }>('GET', '/deployments')).items).toEqual([])
    expect((await stack.must<{ items: unknown[] }>('GET', '/jobs?kind=benchmark')).items).toEqual([])
    expect((await plan({ candidates: both, requirements: { selector: { site: 'west' } } })).summary).toBe(
      'no device matches'
    )
  })

  it('names each candidate that is not there, and what a requirement may be', async () => {
    const unknown = await stack.call<Problem>('POST', '/plans', {
      candidates: [...both, { model: 'none', version: '1' }, { model: 'wide', version: '9' }]
    })
    expect([unknown.status, unknown.body.code]).toEqual([404, 'model-unknown'])
    expect(unknown.headers.get('content-type')).toContain('application/problem+json')
    expect(unknown.body.errors?.map(({ pointer }) => pointer)).toEqual(['/candidates/2/model', '/candidates/3/version'])
    const wrong = await stack.call<Problem>('POST', '/plans', { candidates: both, requirements: { minAgreement: 2 } })
    expect([wrong.status, wrong.body.errors?.[0]?.pointer]).toEqual([400, '/requirements/minAgreement'])
    const empty = await stack.call<Problem>('POST', '/plans', { candidates: [] })
    expect([empty.status, empty.body.errors?.[0]?.pointer]).toEqual([400, '/candidates'])
  })

  it('says of a version without variants that it has to be converted', async () => {
    const device = await add(stack, 'any')
    const source = Buffer.concat([Buffer.from('894844460d0a1a0a', 'hex'), Buffer.from('raw')])
    await stack.must('PUT', '/models/raw/versions/1/source?format=h5', source)
    const planned = await plan({ candidates: [{ model: 'raw', version: '1' }] })
    expect(of(planned, device).reasons).toEqual([
      { model: 'raw', version: '1', filter: 'variants', reason: 'it has no variants yet: convert it first' }
    ])
  })

  it('holds a deployment to its requirements: measures what may meet them, and says where nothing does', async () => {
    await simulatedModel(stack, 'held', [
      { recipe: 'float32', accuracy: 0.95, details: estimate(300e6, 40 * MB) },
      { recipe: 'full_int8', accuracy: 0.93, details: estimate(300e6, 10 * MB) }
    ])
    const float = await artifactOf('held', 'float32')
    const quick = await add(stack, 'quick', { p50Ms: () => 5, facts: { cpuModel: 'q' }, peakRssBytes: 60 * MB })
    const middle = await add(stack, 'middle', { p50Ms: (a) => (a === float ? 40 : 10), facts: { cpuModel: 'm' } })
    const slow = await add(stack, 'slow-one', { p50Ms: () => 90, facts: { cpuModel: 's' } })
    const requirements = { maxLatencyMs: 20, maxAccuracyDrop: 0.03 }
    await stack.must('POST', '/deployments', { name: 'held-all', model: 'held', version: '1', requirements })
    const on = (deployment: Deployment, device: SimulatedDevice) =>
      deployment.devices.find((entry) => entry.device === device.deviceId)
    const settled = await eventually(async () => {
      const seen = await stack.must<Deployment>('GET', '/deployments/held-all')
      const states = devices.map((device) => on(seen, device)?.state)
      return states.every((state) => state === 'ready' || state === 'ineligible') && seen
    })
    expect(settled.requirements).toEqual(requirements)
    expect(on(settled, quick)).toMatchObject({ state: 'ready', variant: 'float32' })
    expect(on(settled, middle)).toMatchObject({ state: 'ready', variant: 'full_int8' })
    expect(on(settled, middle)?.passedOver?.[0]?.reason).toBe('p95 measured 45.5 ms, allowed 20 ms')
    expect(on(settled, slow)).toMatchObject({ state: 'ineligible', variant: null })
    expect(on(settled, slow)?.reason).toMatch(
      /float32: p95 \w+ .*allowed 20 ms.* \| full_int8: p95 \w+ .*allowed 20 ms/
    )

    // A plan under the same requirements says the same, and now knows the memory of a process that ran it.
    const planned = await plan({ candidates: [{ model: 'held', version: '1' }], requirements })
    expect(of(planned, quick)).toMatchObject({ variant: 'float32', memory: { bytes: 60 * MB, source: 'measured' } })
    expect(of(planned, middle)).toMatchObject({ variant: 'full_int8', memory: { bytes: 30 * MB, source: 'predicted' } })
    expect(of(planned, slow)).toMatchObject({ variant: null })
    await stack.must('DELETE', '/deployments/held-all')
  })

  it('prints groups of devices with what they get, what stands in the way, and the same as JSON', async () => {
    const one = await add(stack, 'cli-one')
    await add(stack, 'cli-two')
    await add(stack, 'cli-wasm', { facts: { memoryBytes: 1 * MB } })
    await report(one, 'wide', 'float32', 10, 1)
    const text = await skerry(stack, 'plan', 'wide@1', 'narrow@1', '--max-memory', '100MB', '--min-agreement', '.95')
    expect(text).toMatch(/\b2 +cli-one, cli-two +wide@1 float32 +litert +~/)
    expect(text).toMatch(/cli-wasm +nothing .*wide float32: memory \w+ \d+ MB, available there 1 MB/)
    const json = await skerry(stack, 'plan', 'wide@1', '--max-latency', '20', '--selector', 'site=none', '--json')
    expect(JSON.parse(json)).toMatchObject({ matched: 0, devices: [] })
    await expect(skerry(stack, 'plan', 'wide')).rejects.toThrow('MODEL@VERSION')
    await expect(skerry(stack, 'plan', 'wide@1', '--max-memory', 'lots')).rejects.toThrow('such as 50MB')
    await expect(skerry(stack, 'plan', 'wide@7')).rejects.toThrow('version-unknown')
  })
})
