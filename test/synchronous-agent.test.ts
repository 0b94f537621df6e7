import type { Deployment, Job } from '@skerry/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { faceDetector } from '../apps/agent/test/models.ts'
import { AgentProcess } from './agent-process.ts'
import { realModel } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

describe('synchronous inference on a real agent', () => {
  const model = faceDetector()
  let stack: Stack
  let agent: AgentProcess

  const join = (...args: string[]) => agent.start(stack.url, ['--name', 'edge', '--runtime', 'tfjs-tflite', ...args])
  const inputs = (seed: number) => [
    {
      name: model.input,
      datatype: 'FP32',
      shape: [1, 128, 128, 3],
      data: Array.from({ length: model.inputElements }, (_, i) => ((i * 7 + seed) % 11) / 10)
    }
  ]

  async function metric(name: string): Promise<number> {
    const response = await fetch(`${stack.url}/metrics`, { headers: { authorization: `Bearer ${stack.key}` } })
    const line = (await response.text()).split('\n').find((each) => each.startsWith(`${name} `))
    return Number(line?.slice(name.length))
  }

  async function call(seed: number): Promise<{ status: number; outputs: { name: string; data: number[] }[] }> {
    const response = await fetch(`${stack.url}/v2/models/faces/infer`, {
      method: 'POST',
      headers: { authorization: `Bearer ${stack.key}` },
      body: JSON.stringify({ inputs: inputs(seed), parameters: { timeout: 60_000_000 } })
    })
    const { outputs } = (await response.json()) as { outputs: { name: string; data: number[] }[] }
    return { status: response.status, outputs }
  }

  beforeAll(async () => {
    stack = await Stack.start()
    agent = await AgentProcess.prepare()
    await realModel(stack, 'faces', model)
    await stack.must('POST', '/deployments', { name: 'faces', model: 'faces', version: '1' })
    join('--token', await stack.joinToken())
    await eventually(async () => {
      const { devices } = await stack.must<Deployment>('GET', '/deployments/faces')
      return devices.some(({ state }) => state === 'ready')
    }, 60_000)
  }, 90_000)
  afterAll(async () => {
    await agent.kill('SIGKILL')
    await stack.stop()
  })

  it('answers what a job answers, whose larger outputs lie in blobs', async () => {
    const { id } = await stack.must<Job>('POST', '/jobs', { kind: 'inference', model: 'faces', inputs: inputs(0) })
    const job = await stack.ended(id, 30_000)
    const { outputs } = await call(0)
    expect(outputs.map(({ name }) => name)).toEqual(job.outputs?.map(({ name }) => name))
    for (const [i, { data, blob, shape }] of (job.outputs ?? []).entries()) {
      const ours = outputs[i]?.data ?? []
      expect(ours).toHaveLength(shape.reduce((product, n) => product * n, 1))
      if (data !== undefined) expect(ours).toEqual(data)
      else {
        const response = await fetch(`${stack.url}/api/v1/blobs/${blob}`, {
          headers: { authorization: `Bearer ${stack.key}` }
        })
        expect(Float32Array.from(ours)).toEqual(new Float32Array(await response.arrayBuffer()))
      }
    }
  }, 60_000)

  it('answers every call although the only agent is killed in the middle of them and comes again', async () => {
    const before = await call(1)
    const ended = () => metric('skerry_jobs_total{kind="inference",state="succeeded"}')
    const waiting = () => metric('skerry_calls_waiting')
    const earlier = await ended()
    const asking = Promise.all(Array.from({ length: 20 }, () => call(1)))
    // Held, so that all calls come before it is gone: a later one would be refused at once, and rightly.
    await eventually(async () => (await waiting()) > 0)
    process.kill(agent.pid, 'SIGSTOP')
    await eventually(async () => (await waiting()) + (await ended()) - earlier === 20)
    expect(await waiting()).toBeGreaterThan(0)
    await agent.kill('SIGKILL')
    join()
    for (const answer of await asking) expect(answer).toEqual(before)
  }, 90_000)
})
