import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Deployment, Job, JobRef } from '@skerry/contracts'
import { rowsOf, type SimulatedDevice } from '@skerry/testkit'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { deploy, inputOf, simulatedModel, summingDevice } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

type Answer = { id?: string; model_name: string; model_version: string; outputs: { name: string; data: number[] }[] }

describe('synchronous inference, over the Open Inference Protocol', { timeout: 60_000 }, () => {
  let stack: Stack
  let device: SimulatedDevice
  let sums: NonNullable<SimulatedDevice['options']['onAssign']>
  const extra: SimulatedDevice[] = []

  beforeAll(async () => {
    // Of several that wait, one waits with the scheduler and the others in Valkey.
    stack = await Stack.start({ scheduling: { heldPerPool: 1, callBytes: 4 * 16 } })
    await simulatedModel(stack, 'sum', [{ recipe: 'float32', accuracy: 0.95 }])
    device = await summingDevice(stack, 'first')
    sums = device.options.onAssign as typeof sums
    await deploy(stack, 'sum', 1)
  })
  afterEach(async () => {
    await Promise.all(extra.splice(0).map((each) => each.close()))
  })
  afterAll(async () => {
    await device.close()
    await stack.stop()
  })

  const infer = (values: number[], more: object = {}, path = '/v2/models/sum/infer'): Promise<Response> =>
    fetch(`${stack.url}${path}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.key}` },
      body: JSON.stringify({ inputs: inputOf(values), ...more })
    })
  const answered = async (response: Promise<Response>): Promise<Answer> => {
    const { status, body } = await response.then(async (each) => ({ status: each.status, body: await each.json() }))
    expect(status, JSON.stringify(body)).toBe(200)
    return body as Answer
  }
  const refused = async (response: Promise<Response>): Promise<[number, string]> => {
    const answer = await response
    return [answer.status, ((await answer.json()) as { error: string }).error]
  }

  it('answers the outputs, and keeps a record of the call without its tensors', async () => {
    const response = await infer([1, 2, 3, 4], { id: 'mine' })
    const id = response.headers.get('skerry-job') as string
    expect(response.headers.get('skerry-device')).toBe(device.deviceId)
    expect(await response.json()).toEqual({
      id: 'mine',
      model_name: 'sum',
      model_version: '1',
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], data: [10] }]
    })
    const job = await eventually(async () => {
      const found = await stack.call<Job>('GET', `/jobs/${id}`)
      return found.status === 200 && found.body
    })
    expect(job).toMatchObject({ kind: 'inference', state: 'succeeded', model: 'sum', version: '1' })
    expect(job.outputs).toBeUndefined()
    expect(job.attempts).toHaveLength(1)
    expect(job.attempts[0]).toMatchObject({ device: device.deviceId, variant: 'float32', runtime: 'litert' })
    expect(job.attempts[0]?.timings.inferenceMs).toBe(0.5)
    await eventually(async () => device.acks.some((ack) => ack.jobId === id && ack.status === 'accepted'))
  })

  it('takes and gives raw tensors', async () => {
    const header = JSON.stringify({
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], parameters: { binary_data_size: 16 } }],
      outputs: [{ name: 'y', parameters: { binary_data: true } }]
    })
    const response = await fetch(`${stack.url}/v2/models/sum/versions/1/infer`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${stack.key}`,
        'content-type': 'application/octet-stream',
        'inference-header-content-length': String(header.length)
      },
      body: Buffer.concat([Buffer.from(header), Buffer.from(new Float32Array([4, 3, 2, 0.5]).buffer)])
    })
    const length = Number(response.headers.get('inference-header-content-length'))
    const bytes = Buffer.from(await response.arrayBuffer())
    expect(bytes.readFloatLE(length)).toBe(9.5)
    expect(bytes).toHaveLength(length + 4)
  })

  it('says what it serves', async () => {
    const get = async (path: string) => {
      const response = await fetch(`${stack.url}${path}`, { headers: { authorization: `Bearer ${stack.key}` } })
      return [response.status, await response.json()]
    }
    expect(await get('/v2/models/sum')).toEqual([
      200,
      {
        name: 'sum',
        versions: ['1'],
        platform: 'tensorflow_tflite',
        inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, 4] }],
        outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1] }]
      }
    ])
    expect(await get('/v2/models/sum/versions/1/ready')).toEqual([200, { name: 'sum', ready: true }])
    expect(await get('/v2/models/none/ready')).toEqual([404, { error: expect.stringContaining('none') }])
    expect(await get('/v2')).toMatchObject([200, { name: 'skerry' }])
    const open = await fetch(`${stack.url}/v2/health/ready`)
    expect([open.status, await open.json()]).toEqual([200, { ready: true }])
    expect((await fetch(`${stack.url}/v2/health/live`)).status).toBe(200)
    expect((await fetch(`${stack.url}/v2/models/sum`)).status).toBe(401)
  })

  it('refuses what does not fit, in the words of the protocol', async () => {
    expect(await refused(infer([1, 2, 3]))).toEqual([400, expect.stringContaining('takes 4')])
    const input = { name: 'z', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }
    expect(await refused(infer([], { inputs: [input] }))).toEqual([400, expect.stringContaining('no input z')])
    expect(await refused(infer([1, 2, 3, 4], { outputs: [{ name: 'q' }] }))).toEqual([
      400,
      expect.stringContaining('no output q')
    ])
    expect(await refused(infer([1, 2, 3, 4], {}, '/v2/models/none/infer'))).toEqual([
      404,
      expect.stringContaining('none')
    ])
  })

  it('passes what the device says of a run that failed', async () => {
    device.options.onAssign = () => ({
      frame: { error: { code: 'invoke-failed', message: 'the runtime said no', retryable: false } }
    })
    try {
      expect(await refused(infer([1, 2, 3, 4]))).toEqual([502, 'the runtime said no (invoke-failed)'])
    } finally {
      device.options.onAssign = sums
    }
  })

  describe('when something goes wrong', () => {
    /** The only device answers nothing; the call waits on it. */
    async function stuck(values: number[], more: object = {}, signal?: AbortSignal) {
      device.options.onAssign = () => null
      const assigned = once(device.events, 'assign')
      const response = fetch(`${stack.url}/v2/models/sum/infer`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.key}` },
        body: JSON.stringify({ inputs: inputOf(values), ...more }),
        ...(signal === undefined ? {} : { signal })
      })
      response.catch(() => undefined)
      const [assign] = await assigned
      device.options.onAssign = sums
      return { response, assign: assign as SimulatedDevice['assigned'][number] }
    }
    const answerWith = (job: JobRef, sum: number) =>
      device.result(job, {
        frame: { outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], bytes: 4 }] },
        body: [new Uint8Array(new Float32Array([sum]).buffer)]
      })
    const giveUp = (job: JobRef, code = 'cancelled') =>
      device.result(job, { frame: { error: { code, message: 'was told to', retryable: false } } })
    const recordOf = (id: string) =>
      eventually(async () => {
        const found = await stack.call<Job>('GET', `/jobs/${id}`)
        return found.status === 200 && found.body
      })

    it('answers by its deadline that nobody was in time, tells the device to stop, and has its slot again', async () => {
      const cancelled = once(device.events, 'cancel')
      const { response, assign } = await stuck([1, 1, 1, 1], { parameters: { timeout: 300_000 } })
      expect(await refused(response)).toEqual([504, expect.stringContaining('No answer came in 300 ms')])
      expect((await cancelled)[0]).toMatchObject({ jobId: assign.jobId })
      expect((await recordOf(assign.jobId)).state).toBe('expired')
      giveUp(assign)
      expect((await answered(infer([2, 2, 2, 2]))).outputs[0]?.data).toEqual([8])
    })

    it('runs it elsewhere when the device goes away', async () => {
      const { response, assign } = await stuck([1, 2, 0, 0])
      extra.push(await summingDevice(stack, 'second'))
      await eventually(async () => {
        const { status } = await stack.call('GET', `/devices/${extra[0]?.deviceId}`)
        return status === 200
      })
      await device.close()
      expect((await answered(response)).outputs[0]?.data).toEqual([3])
      const record = await recordOf(assign.jobId)
      expect(record.attempts.map((attempt) => [attempt.epoch, attempt.device])).toEqual([[2, extra[0]?.deviceId]])
      await device.connect()
      await eventually(async () => (await fetchReady()) === 2)
    })

    it('tries it again where a device gave it back, and takes no late word of the attempt before', async () => {
      let tries = 0
      device.options.onAssign = () => {
        tries += 1
        return tries === 1
          ? { frame: { error: { code: 'agent-failed', message: 'not just now', retryable: true } } }
          : null
      }
      const response = infer([5, 0, 0, 0])
      const second = await eventually(async () => tries === 2 && device.assigned.at(-1))
      const { jobId } = second
      giveUp({ jobId, epoch: 1 }, 'agent-failed')
      answerWith({ jobId, epoch: 2 }, 5)
      expect((await answered(response)).outputs[0]?.data).toEqual([5])
      device.options.onAssign = sums
      const record = await recordOf(jobId)
      expect(record.state).toBe('succeeded')
      expect(record.attempts.map(({ epoch, error }) => [epoch, error?.code])).toEqual([
        [1, 'agent-failed'],
        [2, undefined]
      ])
    })

    it('takes no more calls than their tensors have room, and says when to come again', async () => {
      const { response, assign } = await stuck([1, 0, 0, 0])
      const waiting = [2, 3, 4].map((value) => infer([value, 0, 0, 0]))
      const full = await eventually(async () => {
        const answer = await infer([5, 0, 0, 0], { parameters: { timeout: 100_000 } })
        return answer.status === 429 && answer
      })
      expect(full.headers.get('retry-after')).toBe('1')
      answerWith(assign, 1)
      const answers = await Promise.all([response, ...waiting].map(answered))
      expect(answers.map((answer) => answer.outputs[0]?.data)).toEqual([[1], [2], [3], [4]])
      expect((await answered(infer([5, 0, 0, 0]))).outputs[0]?.data).toEqual([5])
    })

    it('acknowledges a large result that nobody knows any more', async () => {
      const jobId = randomUUID()
      const outputs = [{ name: 'y', datatype: 'FP32' as const, shape: [1, 10_000], bytes: 40_000 }]
      device.send({ type: 'result', jobId, epoch: 1, outputs }, [new Uint8Array(40_000)])
      await eventually(async () => device.acks.some((ack) => ack.jobId === jobId && ack.status === 'unknown'))
      expect(device.connected).toBe(true)
    })

    it('lets go of it when the caller hangs up', async () => {
      const left = new AbortController()
      const cancelled = once(device.events, 'cancel')
      const { response, assign } = await stuck([1, 1, 1, 1], {}, left.signal)
      left.abort()
      await expect(response).rejects.toThrow()
      expect((await cancelled)[0]).toMatchObject({ jobId: assign.jobId })
      expect((await recordOf(assign.jobId)).state).toBe('cancelled')
      giveUp(assign)
    })

    it('puts it into the queue again when the queue lost it', async () => {
      const { response, assign } = await stuck([1, 0, 0, 0])
      const waiting = [infer([2, 0, 0, 0]), infer([3, 0, 0, 0])]
      const redis = new Redis(stack.config.redisUrl)
      await eventually(async () => (await redis.zcard('skerry:deployment-sum-all:prioritized')) === 1)
      await redis.flushall()
      redis.disconnect()
      answerWith(assign, 1)
      expect((await answered(response)).outputs[0]?.data).toEqual([1])
      const answers = await Promise.all(waiting.map(answered))
      expect(answers.map((answer) => answer.outputs[0]?.data)).toEqual([[2], [3]])
    })

    it('says so when the deployment is deleted while it waits', async () => {
      await simulatedModel(stack, 'brief', [{ recipe: 'float32', accuracy: 0.95 }])
      await deploy(stack, 'brief', 1)
      const { response: first } = await stuck([1, 1, 1, 1])
      const waiting = infer([1, 1, 1, 1], {}, '/v2/models/brief/infer')
      await stack.must('DELETE', '/deployments/brief-all')
      expect(await refused(waiting)).toEqual([409, expect.stringContaining('No deployment serves brief')])
      answerWith(device.assigned.at(-1) as SimulatedDevice['assigned'][number], 4)
      expect((await answered(first)).outputs[0]?.data).toEqual([4])
    })

    it('says so when its deployment went in the very moment in which it came, and nothing was told of it', async () => {
      await simulatedModel(stack, 'briefer', [{ recipe: 'float32', accuracy: 0.95 }])
      await deploy(stack, 'briefer', 1)
      const { response: first, assign } = await stuck([1, 1, 1, 1])
      const waiting = infer([1, 1, 1, 1], {}, '/v2/models/briefer/infer')
      const redis = new Redis(stack.config.redisUrl)
      await eventually(async () => (await redis.exists('skerry:deployment-briefer-all:meta')) === 1)
      redis.disconnect()
      await rowsOf(stack.config.databaseUrl, "DELETE FROM deployments WHERE name = 'briefer-all'")
      expect(await refused(waiting)).toEqual([409, expect.stringContaining('No deployment serves briefer')])
      answerWith(assign, 4)
      expect((await answered(first)).outputs[0]?.data).toEqual([4])
    })

    const fetchReady = async (): Promise<number> => {
      const { devices } = await stack.must<Deployment>('GET', '/deployments/sum-all')
      return devices.filter(({ state }) => state === 'ready').length
    }
  })
})
