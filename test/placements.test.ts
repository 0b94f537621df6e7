import { createHash, randomUUID } from 'node:crypto'
import type { Deployment, Job, Problem, Variant } from '@skerry/contracts'
import { rowsOf, type SimulatedDevice } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { deploy, inputOf, simulatedModel, summingDevice } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

describe('placements and sources, on a control plane with simulated devices', () => {
  let stack: Stack

  beforeAll(async () => {
    stack = await Stack.start()
  })
  afterAll(async () => {
    await stack.stop()
  })

  const variants = async (model: string) =>
    (await stack.must<{ items: Variant[] }>('GET', `/models/${model}/versions/1/variants`)).items
  const placementOn = (deployment: Deployment, device: SimulatedDevice) =>
    deployment.devices.find((entry) => entry.device === device.deviceId)

  it('settles a tie by what each device measured, so that two devices may choose differently', async () => {
    await simulatedModel(stack, 'tie', [
      { recipe: 'float32', accuracy: 0.9 },
      { recipe: 'full_int8', accuracy: 0.9 }
    ])
    const float = (await variants('tie')).find((variant) => variant.variant === 'float32')?.sha256
    const one = await summingDevice(stack, 'likes-float', { p50Ms: (artifact) => (artifact === float ? 1 : 9) })
    const two = await summingDevice(stack, 'likes-int8', { p50Ms: (artifact) => (artifact === float ? 9 : 1) })
    const deployment = await deploy(stack, 'tie', 2)
    expect(placementOn(deployment, one)?.variant).toBe('float32')
    expect(placementOn(deployment, two)?.variant).toBe('full_int8')
    await one.close()
    await two.close()
  })

  it('passes over a variant whose benchmark fails there, says why, and does not time it again', async () => {
    await simulatedModel(stack, 'faulty', [
      { recipe: 'float32', accuracy: 0.9 },
      { recipe: 'full_int8', accuracy: 0.9 }
    ])
    const bad = (await variants('faulty')).find((variant) => variant.variant === 'full_int8')?.sha256
    const device = await summingDevice(stack, 'picky')
    const answer = device.options.onAssign
    device.options.onAssign = (frame, body) =>
      frame.work.kind === 'benchmark' && frame.work.artifact === bad
        ? { frame: { error: { code: 'model-refused', message: 'golden inputs differ', retryable: false } } }
        : (answer?.(frame, body) ?? null)
    const deployment = await deploy(stack, 'faulty', 1)
    expect(placementOn(deployment, device)).toMatchObject({ variant: 'float32', state: 'ready' })
    expect(placementOn(deployment, device)?.passedOver?.[0]).toMatchObject({ variant: 'full_int8' })
    expect(placementOn(deployment, device)?.passedOver?.[0]?.reason).toContain('golden inputs differ')
    // Anything that makes the control plane look at the deployment again must not start the benchmark again.
    await stack.must('PATCH', `/devices/${device.deviceId}`, { labels: { looked: 'again' } })
    const probe = await summingDevice(stack, 'later')
    await eventually(async () => {
      const seen = await stack.must<Deployment>('GET', '/deployments/faulty-all')
      return placementOn(seen, probe)?.state === 'ready'
    })
    const { items } = await stack.must<{ items: Job[] }>('GET', `/jobs?kind=benchmark&device=${device.deviceId}`)
    expect(items.filter((job) => job.model === 'faulty' && job.state === 'failed')).toHaveLength(1)
    const metrics = await fetch(`${stack.url}/metrics`, { headers: { authorization: `Bearer ${stack.key}` } })
    expect(await metrics.text()).toContain('skerry_jobs_total{kind="benchmark",state="failed"} 1')
    await device.close()
    await probe.close()
  })

  it('knows of a failed benchmark by its row, not by having been told, until a day has passed', async () => {
    await simulatedModel(stack, 'untold', [
      { recipe: 'float32', accuracy: 0.9 },
      { recipe: 'full_int8', accuracy: 0.9 }
    ])
    const bad = (await variants('untold')).find((variant) => variant.variant === 'full_int8')?.sha256
    const devices = { now: await summingDevice(stack, 'now'), past: await summingDevice(stack, 'past') }
    for (const [device, ago] of [
      [devices.now, '1 hour'],
      [devices.past, '25 hours']
    ] as const)
      await rowsOf(
        stack.config.databaseUrl,
        `INSERT INTO jobs (id, kind, state, pool, payload, target_device_id, max_attempts, error, expires_at, ended_at)
         VALUES ($1, 'benchmark', 'failed', 'p', $2, $3, 1, $4, now(), now() - $5::interval)`,
        [
          randomUUID().replace(/^.{8}/, '00000000'),
          { kind: 'benchmark', artifact: bad, runtime: 'litert' },
          device.deviceId,
          { code: 'model-refused', message: 'golden inputs differ' },
          ago
        ]
      )
    const deployment = await deploy(stack, 'untold', 2)
    expect(placementOn(deployment, devices.now)?.passedOver?.[0]?.reason).toContain('golden inputs differ')
    expect(placementOn(deployment, devices.past)?.passedOver ?? []).toEqual([])
    const timed = async (device: SimulatedDevice) =>
      (await stack.must<{ items: Job[] }>('GET', `/jobs?kind=benchmark&device=${device.deviceId}`)).items.filter(
        ({ model }) => model === 'untold'
      )
    expect(await timed(devices.now)).toEqual([])
    expect(await timed(devices.past)).toHaveLength(2)
    for (const device of Object.values(devices)) await device.close()
  })

  it('ends a job that came in the moment in which its deployment was deleted', async () => {
    await simulatedModel(stack, 'leaving', [{ recipe: 'float32', accuracy: 0.9 }])
    const device = await summingDevice(stack, 'leaving')
    await deploy(stack, 'leaving', 1)
    await stack.must('POST', `/devices/${device.deviceId}/cordon`)
    const inputs = inputOf([1, 0, 0, 0])
    const { id } = await stack.must<Job>('POST', '/jobs', { kind: 'inference', model: 'leaving', inputs })
    await rowsOf(stack.config.databaseUrl, "DELETE FROM deployments WHERE name = 'leaving-all'")
    expect(await stack.ended(id)).toMatchObject({ state: 'failed', error: { code: 'deployment-deleted' } })
    await device.close()
  }, 30_000)

  it('keeps a blob that was stored before, when the same bytes are refused as a source', async () => {
    const bytes = Buffer.from('precious, and no model')
    const hash = createHash('sha256').update(bytes).digest('hex')
    await stack.must('PUT', `/blobs/${hash}`, bytes, { 'content-type': 'application/octet-stream' })
    const refused = await stack.call<Problem>('PUT', '/models/none/versions/1/source?format=keras', bytes)
    expect([refused.status, refused.body.code]).toEqual([422, 'not-a-model'])
    expect((await stack.call('GET', `/blobs/${hash}`)).status).toBe(200)
  })

  it('stores nothing of a source that another one holds the version of', async () => {
    const source = (text: string) => Buffer.concat([Buffer.from('894844460d0a1a0a', 'hex'), Buffer.from(text)])
    await stack.must('PUT', '/models/held/versions/1/source?format=h5', source('first'))
    await stack.must('PUT', '/models/held/versions/1/source?format=h5', source('first'))
    const other = await stack.call<Problem>('PUT', '/models/held/versions/1/source?format=h5', source('second'))
    expect([other.status, other.body.code]).toEqual([409, 'version-exists'])
    const hash = createHash('sha256').update(source('second')).digest('hex')
    expect((await stack.call('GET', `/blobs/${hash}`)).status).toBe(404)
  })
})
