import { once } from 'node:events'
import type { Deployment, Device, Job, Problem } from '@skerry/contracts'
import { SimulatedDevice } from '@skerry/testkit'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { JobQueue } from '../packages/queue/src/index.ts'
import { deploy, inputOf, simulatedModel, summingDevice, sumOf } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

const job = (values: number[], more: object = {}) => ({
  kind: 'inference',
  model: 'sum',
  inputs: inputOf(values),
  ...more
})

describe('jobs, on a control plane with simulated devices', () => {
  let stack: Stack
  let together = 0
  let first: SimulatedDevice

  beforeAll(async () => {
    // Most of what waits, waits in Valkey.
    stack = await Stack.start({ scheduling: { heldPerPool: 10 } })
    await simulatedModel(stack, 'sum', [{ recipe: 'float32', accuracy: 0.95 }])
    first = await summingDevice(stack, 'first')
    await deploy(stack, 'sum', 1)
  })
  afterAll(async () => {
    await first.close()
    await stack.stop()
  })

  it('runs a job once and answers it with the timings of its attempt', async () => {
    const answer = await stack.call<Job>('POST', '/jobs', job([1, 2, 3, 4]))
    expect(answer.status).toBe(202)
    expect(answer.headers.get('location')).toBe(`/api/v1/jobs/${answer.body.id}`)
    const done = await stack.ended(answer.body.id)
    expect(done).toMatchObject({ state: 'succeeded', outputs: [{ name: 'y', shape: [1, 1], data: [10] }] })
    expect(done.attempts).toHaveLength(1)
    expect(done.attempts[0]).toMatchObject({ number: 1, epoch: 1, device: first.deviceId, variant: 'float32' })
    expect(done.attempts[0]?.timings).toMatchObject({ inferenceMs: 0.5 })
    await eventually(async () => first.acks.find((ack) => ack.jobId === done.id && ack.status === 'accepted'))
  })

  it('takes the binary form of the Open Inference Protocol', async () => {
    const header = JSON.stringify({
      kind: 'inference',
      model: 'sum',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], parameters: { binary_data_size: 16 } }]
    })
    const body = Buffer.concat([Buffer.from(header), Buffer.from(new Float32Array([4, 3, 2, 0.5]).buffer)])
    const headers = {
      'content-type': 'application/octet-stream',
      'inference-header-content-length': String(header.length)
    }
    const { id } = await stack.must<Job>('POST', '/jobs', body, headers)
    expect((await stack.ended(id)).outputs?.[0]?.data).toEqual([9.5])
    const short = await stack.call<Problem>('POST', '/jobs', body.subarray(0, -1), headers)
    expect([short.status, short.body.code]).toEqual([422, 'input-mismatch'])
  })

  it('refuses inputs that do not fit, naming each place', async () => {
    const cases: [object, string][] = [
      [{ name: 'z' }, '/inputs/0/name'],
      [{ shape: [1, 5], data: [1, 2, 3, 4, 5] }, '/inputs/0/shape'],
      [{ datatype: 'INT8' }, '/inputs/0/datatype'],
      [{ data: [1, 2, 3] }, '/inputs/0/data'],
      [{ data: [1, 2, 3, true] }, '/inputs/0/data']
    ]
    for (const [change, pointer] of cases) {
      const answer = await stack.call<Problem>(
        'POST',
        '/jobs',
        job([], { inputs: [{ ...inputOf([1, 2, 3, 4])[0], ...change }] })
      )
      expect(answer.status, JSON.stringify(answer.body)).toBe(422)
      expect(answer.body.code).toBe('input-mismatch')
      expect(answer.body.errors?.map((e) => e.pointer)).toContain(pointer)
    }
  })

  it('answers the same Idempotency-Key with the same job, and refuses it for another request', async () => {
    const headers = { 'idempotency-key': 'once' }
    const one = await stack.must<Job>('POST', '/jobs', job([1, 1, 1, 1]), headers)
    const again = await stack.must<Job>('POST', '/jobs', job([1, 1, 1, 1]), headers)
    expect(again.id).toBe(one.id)
    const other = await stack.call<Problem>('POST', '/jobs', job([2, 1, 1, 1]), headers)
    expect([other.status, other.body.code]).toEqual([409, 'idempotency-mismatch'])
  })

  it('answers a batch line by line, in order, and knows a line that is sent again', async () => {
    const lines = Array.from({ length: 50 }, (_, i) => JSON.stringify(job([i, 0, 0, 0], { id: `line-${i}` })))
    lines.splice(10, 0, '{broken', JSON.stringify(job([], { id: 'bad' })))
    const send = async () => {
      const body = await stack.must<string>('POST', '/jobs/batch', `${lines.join('\n')}\n`, {
        'content-type': 'application/x-ndjson'
      })
      return body
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { id?: string; status: number; jobId?: string; problem?: Problem })
    }
    const answers = await send()
    expect(answers).toHaveLength(52)
    expect(answers[10]).toMatchObject({ status: 400, problem: { code: 'invalid-json' } })
    expect(answers[11]).toMatchObject({ id: 'bad', status: 422 })
    expect(answers.filter((a) => a.status === 202).map((a) => a.id)).toEqual(
      Array.from({ length: 50 }, (_, i) => `line-${i}`)
    )
    expect((await send()).map((a) => a.jobId)).toEqual(answers.map((a) => a.jobId))
    const last = await stack.ended(answers.at(-1)?.jobId as string)
    expect(last.outputs?.[0]?.data).toEqual([49])
  })

  it('drops the result of an older epoch and tells the device so', async () => {
    const { id } = await stack.must<Job>('POST', '/jobs', job([5, 5, 5, 5]))
    await stack.ended(id)
    first.acks.length = 0
    const late = sumOf(new Uint8Array(new Float32Array([9, 9, 9, 9]).buffer))
    if (late !== null) first.result({ jobId: id, epoch: 1 }, late)
    const ack = await eventually(async () => first.acks.find((entry) => entry.jobId === id))
    expect(ack.status).toBe('stale')
    expect((await stack.must<Job>('GET', `/jobs/${id}`)).outputs?.[0]?.data).toEqual([20])
    if (late !== null) first.result({ jobId: '01900000-0000-7000-8000-000000000000', epoch: 1 }, late)
    const unknown = await eventually(async () => first.acks.find((entry) => entry.jobId.startsWith('0190')))
    expect(unknown.status).toBe('unknown')
  })

  it('cancels a running job at once, tells the device, and keeps its slot until the device answers', async () => {
    const answer = first.options.onAssign
    first.options.onAssign = () => null
    const assigned = once(first.events, 'assign')
    const { id } = await stack.must<Job>('POST', '/jobs', job([1, 0, 0, 0]))
    await assigned
    const cancelled = await stack.must<Job>('POST', `/jobs/${id}/cancel`)
    expect(cancelled).toMatchObject({ state: 'cancelled', error: { code: 'cancelled' } })
    expect(cancelled.attempts[0]?.error?.code).toBe('cancelled')
    await eventually(async () => first.cancelled.some((ref) => ref.jobId === id))
    const twice = await stack.call<Problem>('POST', `/jobs/${id}/cancel`)
    expect([twice.status, twice.body.code]).toEqual([409, 'job-ended'])

    const waiting = await stack.must<Job>('POST', '/jobs', job([2, 0, 0, 0]))
    expect((await stack.must<Job>('GET', `/jobs/${waiting.id}?waitMs=300`)).state).toBe('queued')
    if (answer !== undefined) first.options.onAssign = answer
    first.result(
      { jobId: id, epoch: 1 },
      { frame: { error: { code: 'cancelled', message: 'stopped', retryable: false } } }
    )
    expect((await stack.ended(waiting.id)).state).toBe('succeeded')
  })

  it('expires a job whose deadline passes while nobody can take it', async () => {
    const { id } = await stack.must<Job>(
      'POST',
      '/jobs',
      job([1, 0, 0, 0], { deadlineMs: 300, admission: 'best-effort', selector: { nowhere: 'x' } })
    )
    expect(await stack.ended(id)).toMatchObject({ state: 'expired', error: { code: 'expired' }, attempts: [] })
  })

  it('does not let a job that no device may run hold up the ones behind it', async () => {
    const stuck = await stack.must<Job>(
      'POST',
      '/jobs',
      job([1, 0, 0, 0], { selector: { nowhere: 'x' }, priority: 100 })
    )
    const { id } = await stack.must<Job>('POST', '/jobs', job([3, 0, 0, 0]))
    expect((await stack.ended(id)).outputs?.[0]?.data).toEqual([3])
    await stack.must('POST', `/jobs/${stuck.id}/cancel`)
  })

  it('tries a job again elsewhere after a retryable error, and gives up after its attempts', async () => {
    const answer = first.options.onAssign
    let failures = 1
    first.options.onAssign = (frame, body) =>
      failures-- > 0
        ? { frame: { error: { code: 'invoke-failed', message: 'out of luck', retryable: true } } }
        : (answer?.(frame, body) ?? null)
    const again = await stack.must<Job>('POST', '/jobs', job([7, 0, 0, 0]))
    const done = await stack.ended(again.id)
    expect(done.state).toBe('succeeded')
    expect(done.attempts.map((a) => [a.number, a.epoch, a.error?.code])).toEqual([
      [1, 1, 'invoke-failed'],
      [2, 2, undefined]
    ])
    failures = 99
    const hopeless = await stack.must<Job>('POST', '/jobs', job([7, 0, 0, 0], { maxAttempts: 2 }))
    const failed = await stack.ended(hopeless.id)
    expect(failed).toMatchObject({ state: 'failed', error: { code: 'attempts-exhausted', detail: 'invoke-failed' } })
    expect(failed.attempts).toHaveLength(2)
    if (answer !== undefined) first.options.onAssign = answer
  })

  it('quarantines a job that killed two runtimes', async () => {
    const answer = first.options.onAssign
    first.options.onAssign = () => ({
      frame: { error: { code: 'runtime-crashed', message: 'SIGSEGV', retryable: true, killedRuntime: true } }
    })
    const { id } = await stack.must<Job>('POST', '/jobs', job([7, 0, 0, 0], { maxAttempts: 10 }))
    const done = await stack.ended(id)
    expect(done).toMatchObject({ state: 'failed', error: { code: 'model-quarantined' } })
    expect(done.attempts).toHaveLength(2)
    if (answer !== undefined) first.options.onAssign = answer
  })

  it('gives a job back when its device returns without it, and drops what the old life still says', async () => {
    const answer = first.options.onAssign
    first.options.onAssign = () => null
    const assigned = once(first.events, 'assign')
    const { id } = await stack.must<Job>('POST', '/jobs', job([8, 0, 0, 0]))
    await assigned
    first.cut()
    if (answer !== undefined) first.options.onAssign = answer
    await first.connect()
    const done = await stack.ended(id)
    expect(done.state).toBe('succeeded')
    expect(done.attempts.map((a) => a.error?.code)).toEqual(['device-lost', undefined])
  })

  it('leaves a job with a device that comes back still holding it', async () => {
    const answer = first.options.onAssign
    first.options.onAssign = () => null
    const assigned = once(first.events, 'assign')
    const { id } = await stack.must<Job>('POST', '/jobs', job([9, 0, 0, 0]))
    await assigned
    first.cut()
    first.holding = [{ jobId: id, epoch: 1 }]
    await first.connect()
    first.holding = []
    const result = sumOf(new Uint8Array(new Float32Array([9, 0, 0, 0]).buffer))
    if (result !== null) first.result({ jobId: id, epoch: 1 }, result)
    const done = await stack.ended(id)
    expect(done).toMatchObject({ state: 'succeeded', outputs: [{ data: [9] }] })
    expect(done.attempts).toHaveLength(1)
    if (answer !== undefined) first.options.onAssign = answer
  })

  it('gives a job back when its device stays away longer than its lease', async () => {
    const second = await summingDevice(stack, 'second')
    await eventually(async () => {
      const { devices } = await stack.must<Deployment>('GET', '/deployments/sum-all')
      return devices.filter((entry) => entry.state === 'ready').length === 2
    })
    const answer = second.options.onAssign
    second.options.onAssign = (frame, body) =>
      frame.work.kind === 'inference' ? null : (answer?.(frame, body) ?? null)
    // Whom the scheduler would choose is not what this is about.
    await stack.must('POST', `/devices/${first.deviceId}/cordon`)
    const assigned = once(second.events, 'assign')
    const { id } = await stack.must<Job>('POST', '/jobs', job([6, 0, 0, 0]))
    await assigned
    await second.close()
    await stack.must('POST', `/devices/${first.deviceId}/uncordon`)
    const done = await stack.ended(id, 30_000)
    expect(done.state).toBe('succeeded')
    expect(done.attempts.map((attempt) => [attempt.device, attempt.error?.code])).toEqual([
      [second.deviceId, 'device-lost'],
      [first.deviceId, undefined]
    ])
  }, 45_000)

  it('gives a device no kind of work that its enrolment did not allow', async () => {
    const device = new SimulatedDevice({ url: stack.url, token: await stack.joinToken(['infer']), name: 'ambitious' })
    await device.enrol()
    device.options.capabilities = ['infer', 'convert']
    device.options.slots = { infer: 1, convert: 1 }
    await device.connect()
    const { capacity, capabilities } = await stack.must<Device>('GET', '/devices/ambitious')
    expect([capabilities, capacity]).toEqual([['infer'], { slots: 1, convertSlots: 0 }])
    await device.close()
  })

  it('gives no work to a device that says it takes none, and goes on as soon as it takes work again', async () => {
    const health = { cpuPercent: 1, memoryUsedBytes: 1, rssBytes: 1, at: new Date().toISOString() }
    first.send({
      type: 'heartbeat',
      health: { ...health, refusing: 'This device takes no work now: it is 95 °C hot.' }
    })
    await eventually(
      async () => (await stack.must<Device>('GET', `/devices/${first.deviceId}`)).health?.refusing !== undefined
    )
    const { id } = await stack.must<Job>('POST', '/jobs', job([7, 0, 0, 0]))
    await eventually(async () => (await stack.must<Job>('GET', `/jobs/${id}`)).state === 'queued')
    expect(first.assigned.filter(({ jobId }) => jobId === id)).toEqual([])
    first.send({ type: 'heartbeat', health })
    expect(await stack.ended(id)).toMatchObject({ state: 'succeeded', attempts: [{ number: 1 }] })
  }, 45_000)

  it('gives no slot away twice when a pool delivers a job again that runs', async () => {
    const device = await summingDevice(stack, 'twice', { slots: 2 })
    device.options.onAssign = () => null
    await eventually(async () => {
      const { models } = await stack.must<Device>('GET', '/devices/twice')
      return models.some(({ state }) => state === 'ready')
    })
    const submit = async () =>
      (await stack.must<Job>('POST', '/jobs', job([1, 0, 0, 0], { device: device.deviceId }))).id
    const id = await submit()
    await eventually(async () => device.assigned.some(({ jobId }) => jobId === id))
    const pool = `device-${device.deviceId}`
    const queue = new JobQueue({ redisUrl: stack.config.redisUrl })
    const row = { kind: 'inference', model: 'sum', deployment: 'sum-all', target_device_id: device.deviceId }
    const times = { created_ms: Date.now(), expires_ms: Date.now() + 60_000 }
    const entry = { id, epoch: 1, pool, priority: 0 }
    await queue.add([{ ...entry, data: { ...entry, ...row, selector: {}, terms: {}, ...times } }])
    const more = [await submit(), await submit()]
    await eventually(async () => (await queue.depth(pool)) === 0 && device.assigned.length === 2)
    const finished = once(device.events, 'ack')
    const outputs = [{ name: 'y', datatype: 'FP32' as const, shape: [1, 1], bytes: 4 }]
    device.send({ type: 'result', jobId: id, epoch: 1, outputs }, [new Uint8Array(4)])
    // All that was wrongly sent would have been sent before this.
    await finished
    expect(device.assigned.map(({ jobId }) => jobId).slice(0, 2)).toEqual([id, more[0]])
    await eventually(async () => device.assigned.length === 3)
    await queue.close()
    for (const each of more) await stack.must('POST', `/jobs/${each}/cancel`)
    await device.close()
  })

  it('takes what is cancelled while it waits out of its pool, so that no device gets it', async () => {
    await stack.must('POST', `/devices/${first.deviceId}/cordon`)
    const redis = new Redis(stack.config.redisUrl)
    const inPool = () => redis.zcard('skerry:deployment-sum-all:prioritized')
    const ids: string[] = []
    for (let i = 0; i < 15; i++) ids.push((await stack.must<Job>('POST', '/jobs', job([i, 0, 0, 0]))).id)
    await eventually(async () => (await inPool()) === 5)
    for (const id of ids) await stack.must('POST', `/jobs/${id}/cancel`)
    await eventually(async () => (await inPool()) === 0)
    redis.disconnect()
    await stack.must('POST', `/devices/${first.deviceId}/uncordon`)
    await stack.ended((await stack.must<Job>('POST', '/jobs', job([1, 0, 0, 0]))).id)
    expect(first.assigned.filter(({ jobId }) => ids.includes(jobId))).toEqual([])
  })

  /** In one request, so that they wait in bundles. */
  async function submitTogether(count: number): Promise<string[]> {
    const lines = Array.from({ length: count }, (_, i) =>
      JSON.stringify({ ...job([i, 0, 0, 0]), id: `together-${++together}` })
    )
    const headers = { 'content-type': 'application/x-ndjson' }
    const answers = await stack.must<string>('POST', '/jobs/batch', `${lines.join('\n')}\n`, headers)
    return answers
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { jobId: string }).jobId)
  }

  it('runs nothing of a bundle that was cancelled while it waited, and all the rest of it', async () => {
    await stack.must('POST', `/devices/${first.deviceId}/cordon`)
    const ids = await submitTogether(60)
    const [cancelled, kept] = [ids.filter((_, i) => i % 2 === 0), ids.filter((_, i) => i % 2 === 1)]
    for (const id of cancelled) await stack.must('POST', `/jobs/${id}/cancel`)
    await stack.must('POST', `/devices/${first.deviceId}/uncordon`)
    for (const id of kept) expect(await stack.ended(id)).toMatchObject({ state: 'succeeded' })
    const assigned = first.assigned.map(({ jobId }) => jobId)
    expect(assigned.filter((id) => cancelled.includes(id))).toEqual([])
    expect(assigned.filter((id) => kept.includes(id)).sort()).toEqual(kept.sort())
  })

  it.each(['one by one', 'together'])(
    'loses no waiting job that came %s when Valkey is flushed',
    async (how) => {
      await stack.must('POST', `/devices/${first.deviceId}/cordon`)
      const ids = how === 'together' ? await submitTogether(200) : []
      for (let i = ids.length; i < 200; i++) ids.push((await stack.must<Job>('POST', '/jobs', job([i, 0, 0, 0]))).id)
      const queue = new JobQueue({ redisUrl: stack.config.redisUrl })
      // Ten are held in memory, or the bundle that they came in.
      await eventually(async () => {
        const waiting = await queue.depth('deployment-sum-all')
        return waiting > 100 && waiting <= 190
      })
      await queue.close()
      const redis = new Redis(stack.config.redisUrl)
      await redis.flushall()
      redis.disconnect()
      await stack.must('POST', `/devices/${first.deviceId}/uncordon`)
      for (const [i, id] of ids.entries()) expect((await stack.ended(id)).outputs?.[0]?.data).toEqual([i])
      const runs = new Map<string, number>()
      for (const { jobId } of first.assigned) runs.set(jobId, (runs.get(jobId) ?? 0) + 1)
      expect(ids.map((id) => runs.get(id))).toEqual(ids.map(() => 1))
    },
    60_000
  )
})
