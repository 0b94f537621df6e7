import type { Deployment, Device, Job, RuntimeLibraryOffer } from '@skerry/contracts'
import { toolPaths } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { faceDetector } from '../apps/agent/test/models.ts'
import { AgentProcess } from './agent-process.ts'
import { realModel } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

describe('a device without Python', () => {
  let stack: Stack
  let agent: AgentProcess
  const model = faceDetector()
  const join = (...args: string[]) => agent.start(stack.url, ['--name', 'bare', ...args], { SKERRY_TOOLS: '/nowhere' })
  const device = async () => (await stack.call<Device>('GET', '/devices/bare')).body

  beforeAll(async () => {
    const { liteRtLibrary, liteRtVersion } = toolPaths()
    stack = await Stack.start({ liteRtLibraries: [{ version: liteRtVersion, path: liteRtLibrary }] })
    agent = await AgentProcess.prepare()
    await realModel(stack, 'faces', model)
    await stack.must('POST', '/deployments', { name: 'faces', model: 'faces', version: '1' })
  }, 60_000)
  afterAll(async () => {
    await agent.kill('SIGKILL')
    await stack.stop()
  })

  it('is offered the library of the control plane, described from the file itself and signed', async () => {
    const { items } = await stack.must<{ items: RuntimeLibraryOffer[] }>('GET', '/runtime-libraries')
    expect(items).toEqual([
      {
        library: {
          kind: 'runtime-library',
          runtime: 'litert',
          version: toolPaths().liteRtVersion,
          sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
          bytes: expect.any(Number),
          arch: process.arch,
          libc: { name: 'glibc', version: process.arch === 'x64' ? '2.27' : '2.34' }
        },
        signature: expect.any(String)
      }
    ])
  })

  it('runs LiteRT a moment after it joined, and is placed on it', async () => {
    join('--token', await stack.joinToken())
    const placed = await eventually(async () => {
      const { devices } = await stack.must<Deployment>('GET', '/deployments/faces')
      return devices.find(({ state, runtime }) => state === 'ready' && runtime === 'litert')
    }, 60_000)
    const { facts } = await device()
    expect(facts.runtimes.map(({ name }) => name).slice(0, 2)).toEqual(['litert', 'tfjs-tflite'])
    expect(facts.unavailableRuntimes).toBeUndefined()
    const data = Array.from({ length: model.inputElements }, (_, i) => (i % 5) / 4)
    const inputs = [{ name: model.input, datatype: 'FP32', shape: [1, 128, 128, 3], data }]
    const { id } = await stack.must<Job>('POST', '/jobs', { kind: 'inference', model: 'faces', inputs })
    expect(await stack.ended(id)).toMatchObject({
      state: 'succeeded',
      attempts: [{ device: placed.device, runtime: 'litert' }]
    })
  }, 90_000)

  it('has it at once after a restart', async () => {
    await agent.kill('SIGTERM')
    await eventually(async () => (await device()).state === 'offline')
    join()
    await eventually(async () => (await device()).state === 'online', 30_000)
    expect((await device()).facts.runtimes[0]?.name).toBe('litert')
  }, 60_000)
})
