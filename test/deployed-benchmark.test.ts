import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { BenchmarkResult, Deployment, Device, Variant } from '@skerry/contracts'
import { rowsOf } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { faceDetector } from '../apps/agent/test/models.ts'
import { AgentProcess } from './agent-process.ts'
import { skerry } from './cli.ts'
import { deploy, realModel, simulatedModel, summingDevice } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

describe('what a deployed model takes', () => {
  let stack: Stack
  let agent: AgentProcess
  const device = () => stack.must<Device>('GET', '/devices/edge')
  const join = (...args: string[]) => agent.start(stack.url, ['--name', 'edge', '--runtime', 'tfjs-tflite', ...args])
  const ready = (name: string) =>
    eventually(async () => {
      const { devices } = await stack.must<Deployment>('GET', `/deployments/${name}`)
      return devices.some(({ state, deviceName }) => state === 'ready' && deviceName === 'edge')
    }, 60_000)
  const measured = (name: string) =>
    eventually(async () => (await device()).models.find(({ deployment }) => deployment === name)?.benchmark, 60_000)
  const stored = (deviceId: string) =>
    rowsOf<{ artifact: string; p50_ms: number }>(
      stack.config.databaseUrl,
      'SELECT artifact, p50_ms FROM benchmarks WHERE device_id = $1',
      [deviceId]
    )

  beforeAll(async () => {
    stack = await Stack.start()
    agent = await AgentProcess.prepare()
    await realModel(stack, 'faces', faceDetector())
    await realModel(stack, 'later', {
      ...faceDetector(),
      bytes: Buffer.concat([faceDetector().bytes, Buffer.alloc(16)])
    })
    join('--token', await stack.joinToken())
  }, 60_000)
  afterAll(async () => {
    await agent.kill('SIGKILL')
    await stack.stop()
  })

  it('is in the registry once, before any job, and stands with the device', async () => {
    await stack.must('POST', '/deployments', { name: 'faces', model: 'faces', version: '1' })
    await ready('faces')
    const benchmark = await measured('faces')
    const { id, capacity } = await device()
    expect(benchmark).toMatchObject({ runtime: 'tfjs-tflite', threads: 1, stdMs: expect.any(Number) })
    expect(await stored(id)).toEqual([{ artifact: benchmark.artifact, p50_ms: benchmark.p50Ms }])
    expect(capacity.benchmark).toMatchObject([{ name: 'tfjs-tflite', float32: { p50Ms: expect.any(Number) } }])
    expect(await stack.must('GET', '/latency?model=faces')).toMatchObject({ count: 0 })
    expect(await stack.must('GET', '/jobs')).toMatchObject({
      items: expect.not.arrayContaining([{ kind: 'benchmark' }])
    })
    const table = await skerry(stack, 'devices')
    expect(table).toContain(`faces/float32 (ready, ${benchmark.p50Ms.toFixed(2)} ms)`)
    expect(table).toMatch(/tfjs-tflite \(\d+\.\d\d ms\)/)
  }, 90_000)

  it('is not measured again by an agent that was killed and started again', async () => {
    await agent.kill('SIGKILL')
    join()
    // Measured after what was there before had its turn.
    await stack.must('POST', '/deployments', { name: 'later', model: 'later', version: '1' })
    const later = await measured('later')
    const { id, models } = await device()
    const faces = models.find(({ deployment }) => deployment === 'faces')
    expect((await stored(id)).map(({ artifact }) => artifact).sort()).toEqual([faces?.artifact, later.artifact].sort())
  }, 90_000)

  it('counts once however often it is told, is used to choose by, and is acknowledged even where nobody asks', async () => {
    const simulated = await summingDevice(stack, 'simulated')
    await simulatedModel(stack, 'told', [{ recipe: 'float32', accuracy: 0.9 }])
    await deploy(stack, 'told', 1)
    const { items } = await stack.must<{ items: Variant[] }>('GET', '/models/told/versions/1/variants')
    const benchmark: BenchmarkResult = {
      artifact: items[0]?.sha256 ?? '',
      runtime: 'litert',
      ...{ runs: 50, initMs: 1, firstMs: 2, p50Ms: 3, p99Ms: 4 }
    }
    const tell = async (frame: { id: string; benchmark: BenchmarkResult }) => {
      const answered = once(simulated.events, 'benchmark-ack')
      simulated.send({ type: 'benchmark', ...frame })
      expect((await answered)[0]).toMatchObject({ id: frame.id })
    }
    const frame = { id: randomUUID(), benchmark }
    await tell(frame)
    await tell(frame)
    await tell({ id: randomUUID(), benchmark: { ...benchmark, artifact: '0'.repeat(64) } })
    expect(await stored(simulated.deviceId)).toEqual([{ artifact: benchmark.artifact, p50_ms: 3 }])
    const { models } = await stack.must<Device>('GET', `/devices/${simulated.deviceId}`)
    expect(models.find(({ deployment }) => deployment === 'told-all')?.benchmark).toEqual(benchmark)
    // Whenever the control plane looks at the deployment again, it knows.
    await stack.must('POST', '/deployments', { name: 'told-again', model: 'told', version: '1' })
    const again = await eventually(async () => {
      const { devices } = await stack.must<Deployment>('GET', '/deployments/told-again')
      return devices.find(({ device: id, state }) => id === simulated.deviceId && state === 'ready')
    })
    expect(again.measured).toEqual([{ variant: 'float32', p50Ms: 3 }])
    await simulated.close()
  }, 60_000)
})
