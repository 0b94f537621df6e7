import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { Job } from '@skerry/contracts'
import { RoamingDevice } from '@skerry/testkit'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { ReplicaProcess } from './replica-process.ts'
import { deploy, inputOf, simulatedModel, sumOf } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

type Ready = { role: 'scheduler' | 'standby'; replica: string; scheduler: string | null }
const SLOTS = 2

/** Two control planes, each in a process of its own, on one Postgres and one Valkey. */
describe('replicas', { timeout: 120_000 }, () => {
  let stack: Stack
  let active: ReplicaProcess
  let standby: ReplicaProcess
  let devices: RoamingDevice[] = []
  let model = ''
  let count = 0

  beforeAll(async () => {
    stack = await Stack.prepare()
  })
  beforeEach(async () => {
    active = await ReplicaProcess.start(stack.config)
    standby = await ReplicaProcess.start(stack.config)
    stack.key = (await readFile(path.join(stack.config.dataDir, 'admin.key'), 'utf8')).trim()
    stack.url = standby.url
    model = `sum${++count}`
    await simulatedModel(stack, model, [{ recipe: 'float32', accuracy: 0.95 }])
  })
  afterEach(async () => {
    active.signal('SIGCONT')
    const ends = [...devices.map((device) => device.stop()), active.end('SIGTERM'), standby.end('SIGTERM')]
    devices = []
    await Promise.all(ends)
  })
  afterAll(async () => {
    await stack.stop()
  })

  /** `each` devices whose first connection is to the active one, and as many at the standby. */
  async function connect(each: number, serviceMs: number): Promise<void> {
    const token = await stack.joinToken()
    for (const [side, urls] of [
      ['active', [active.url, standby.url]],
      ['standby', [standby.url, active.url]]
    ] as const)
      for (let i = 0; i < each; i++)
        devices.push(
          new RoamingDevice({
            urls: [...urls],
            token,
            name: `${model}-${side}-${i}`,
            slots: { infer: SLOTS, convert: 0 },
            runtimes: [{ name: 'litert', version: '1' }],
            serviceMs,
            answer: (_, body) => sumOf(body) ?? { frame: {} }
          })
        )
    await Promise.all(devices.map((device) => device.start()))
    await deploy(stack, model, devices.length)
  }

  async function submit(values: number[], more: object = {}): Promise<string> {
    const { id } = await stack.must<Job>('POST', '/jobs', {
      kind: 'inference',
      model,
      inputs: inputOf(values),
      ...more
    })
    return id
  }

  async function submitMany(from: number, to: number, more: object = {}): Promise<Map<string, number>> {
    const lines = Array.from({ length: to - from }, (_, i) => {
      const inputs = inputOf([from + i, 0, 0, 0])
      return JSON.stringify({ kind: 'inference', model, inputs, id: `${model}-${from + i}`, ...more })
    })
    const headers = { 'content-type': 'application/x-ndjson' }
    const body = await stack.must<string>('POST', '/jobs/batch', `${lines.join('\n')}\n`, headers)
    const answers = body.trim().split('\n')
    return new Map(answers.map((line, i) => [(JSON.parse(line) as { jobId: string }).jobId, from + i]))
  }

  const readiness = async (replica: ReplicaProcess): Promise<Ready> => {
    const response = await fetch(`${replica.url}/readyz`, { headers: { authorization: `Bearer ${stack.key}` } })
    return (await response.json()) as Ready
  }

  const becomesScheduler = (replica: ReplicaProcess) =>
    eventually(async () => (await readiness(replica)).role === 'scheduler', 20_000)

  /** Each job ended once with its own answer, at most one device was told so, and no device ever had more than its slots. */
  async function expectAllOnce(jobs: Map<string, number>): Promise<void> {
    for (const [id, value] of jobs) {
      const job = await stack.ended(id, 60_000)
      expect(job, JSON.stringify(job)).toMatchObject({ state: 'succeeded', outputs: [{ data: [value] }] })
      expect(job.attempts.filter((attempt) => attempt.error === undefined)).toHaveLength(1)
    }
    const acks = () => devices.flatMap(({ device }) => device.acks.filter(({ jobId }) => jobs.has(jobId)))
    // A result whose acknowledgement died with its replica is said again, and is stale then.
    await eventually(async () => new Set(acks().map(({ jobId }) => jobId)).size === jobs.size)
    const accepted = acks().filter(({ status }) => status === 'accepted')
    expect(new Set(accepted.map(({ jobId }) => jobId)).size).toBe(accepted.length)
    for (const { device, mostAtOnce } of devices) expect(mostAtOnce, device.options.name).toBeLessThanOrEqual(SLOTS)
  }

  it('one schedules for the devices of both, and either takes what callers and operators ask', async () => {
    expect(await readiness(active)).toMatchObject({ role: 'scheduler' })
    const { scheduler, replica } = await readiness(standby)
    expect(scheduler).toBe((await readiness(active)).replica)
    expect(scheduler).not.toBe(replica)
    await connect(1, 5)
    await expectAllOnce(await submitMany(0, 200))
    for (const { device } of devices) expect(device.assigned.length, device.options.name).toBeGreaterThan(20)

    const [there, here] = devices.map(({ device }) => device) as [RoamingDevice['device'], RoamingDevice['device']]
    // Its result is applied at the other replica; this one wakes whoever waits here long before the wait is over.
    const id = await submit([1, 2, 3, 4], { device: there.deviceId })
    const waited = await stack.must<Job>('GET', `/jobs/${id}?waitMs=60000`)
    expect(waited.outputs?.[0]?.data).toEqual([10])

    await stack.must('POST', `/devices/${there.deviceId}/cordon`)
    const kept = await submit([1, 0, 0, 0], { device: there.deviceId })
    await stack.ended(await submit([2, 0, 0, 0], { device: here.deviceId }))
    expect((await stack.must<Job>('GET', `/jobs/${kept}`)).state).toBe('queued')
    await stack.must('POST', `/devices/${there.deviceId}/uncordon`)
    expect((await stack.ended(kept)).state).toBe('succeeded')

    const refused = once(there.events, 'refused')
    await stack.must('POST', `/devices/${there.deviceId}/revoke`)
    expect((await refused)[0]).toMatchObject({ code: 'device-revoked' })
  })

  /** A synchronous call at that replica: what came of it. */
  async function call(replica: ReplicaProcess, values: number[]): Promise<number | string> {
    const response = await fetch(`${replica.url}/v2/models/${model}/infer`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.key}` },
      body: JSON.stringify({ inputs: inputOf(values) })
    })
    const body = (await response.json()) as { error?: string; outputs?: { data: number[] }[] }
    return body.outputs?.[0]?.data[0] ?? `${response.status} ${body.error}`
  }

  it('answers a synchronous call at either, from the devices of both', async () => {
    await connect(1, 5)
    const values = Array.from({ length: 100 }, (_, i) => i)
    for (const replica of [active, standby])
      expect(await Promise.all(values.map((value) => call(replica, [value, 0, 0, 0])))).toEqual(values)
    const redis = new Redis(stack.config.redisUrl)
    await eventually(async () => (await redis.keys('*-body-*')).length === 0)
    redis.disconnect()
    for (const { device } of devices) expect(device.assigned.length, device.options.name).toBeGreaterThan(20)
  })

  it('answers a synchronous call that comes while nobody schedules', async () => {
    await connect(1, 5)
    await active.end('SIGKILL')
    expect(await call(standby, [7, 0, 0, 0])).toBe(7)
  })

  it('answers every synchronous call although the one that schedules is killed meanwhile', async () => {
    await connect(2, 20)
    let next = 0
    const wrong: string[] = []
    const ask = async (until: number): Promise<void> => {
      for (let value = next++; value < until; value = next++) {
        const answer = await call(standby, [value, 0, 0, 0])
        if (answer !== value) wrong.push(`${value}: ${answer}`)
      }
    }
    const asking = Promise.all(Array.from({ length: 20 }, () => ask(600)))
    await eventually(async () => next > 200)
    await active.end('SIGKILL')
    await asking
    expect(wrong).toEqual([])
    expect((await readiness(standby)).role).toBe('scheduler')
    for (const { device, mostAtOnce } of devices) expect(mostAtOnce, device.options.name).toBeLessThanOrEqual(SLOTS)
  })

  it('tells a device of the other replica to stop a job that was cancelled here', async () => {
    await connect(1, 600_000)
    const there = devices[0]?.device as RoamingDevice['device']
    const id = await submit([1, 2, 3, 4], { device: there.deviceId })
    await eventually(async () => there.assigned.find((assign) => assign.jobId === id))
    const cancelled = once(there.events, 'cancel')
    await stack.must('POST', `/jobs/${id}/cancel`)
    expect((await cancelled)[0]).toMatchObject({ jobId: id })
    expect((await stack.ended(id)).state).toBe('cancelled')
  })

  it('hands over at once when the one that schedules is stopped', async () => {
    await connect(1, 5)
    const before = await submitMany(0, 200)
    await active.end('SIGTERM')
    expect((await readiness(standby)).role).toBe('scheduler')
    await expectAllOnce(new Map([...before, ...(await submitMany(200, 300))]))
  })

  it('loses and doubles nothing when the one that schedules is killed in the middle of its work', async () => {
    await connect(3, 20)
    const jobs = await submitMany(0, 1_000)
    await eventually(async () => devices.every(({ device }) => device.acks.length > 10))
    await active.end('SIGKILL')
    for (const [id, value] of await submitMany(1_000, 1_200)) jobs.set(id, value)
    await becomesScheduler(standby)
    await expectAllOnce(jobs)
    for (const { connections } of devices.slice(0, 3)) expect(connections).toBe(2)
  })

  it('loses and doubles nothing when the connections between replicas break again and again', async () => {
    await connect(2, 10)
    const redis = new Redis(stack.config.redisUrl)
    const jobs = await submitMany(0, 1_000)
    const acked = () => devices.reduce((sum, { device }) => sum + device.acks.length, 0)
    for (let cuts = 0; cuts < 10; cuts++) {
      const before = acked()
      // After some work each time, so that a slow machine gets as far as a fast one.
      await eventually(async () => acked() > before + 20, 30_000)
      await redis.client('KILL', 'TYPE', cuts % 2 === 0 ? 'normal' : 'pubsub')
    }
    redis.disconnect()
    await expectAllOnce(jobs)
    // No slot is thought to be taken for good.
    for (const [i, roaming] of devices.entries()) {
      roaming.mostAtOnce = 0
      await expectAllOnce(await submitMany(1_000 + 20 * i, 1_020 + 20 * i, { device: roaming.device.deviceId }))
      expect(roaming.mostAtOnce, roaming.device.options.name).toBe(SLOTS)
    }
  })

  it('refuses what a scheduler still does that was paused for longer than its lease', async () => {
    await connect(2, 20)
    const jobs = await submitMany(0, 1_000)
    await eventually(async () => devices.every(({ device }) => device.acks.length > 10))
    active.signal('SIGSTOP')
    const resumed = new Promise<void>((resolve) =>
      setTimeout(() => {
        active.signal('SIGCONT')
        resolve()
      }, 8_000)
    )
    for (const [id, value] of await submitMany(1_000, 1_500)) jobs.set(id, value)
    await becomesScheduler(standby)
    await resumed
    await eventually(async () => (await readiness(active)).role === 'standby')
    await expectAllOnce(jobs)
    // Its devices go on where they are.
    for (const { connections } of devices) expect(connections).toBe(1)
    for (const [i, { device }] of devices.entries())
      await expectAllOnce(await submitMany(2_000 + 20 * i, 2_020 + 20 * i, { device: device.deviceId }))
  })
})
