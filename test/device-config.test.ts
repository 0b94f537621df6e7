import { readFile } from 'node:fs/promises'
import type { Device, DeviceConfigState, Problem } from '@skerry/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { AgentProcess } from './agent-process.ts'
import { skerry } from './cli.ts'
import { summingDevice } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

describe('configuring devices from the control plane', () => {
  let stack: Stack
  let agent: AgentProcess
  const route = '/devices/edge/config'
  const join = (...args: string[]) => agent.start(stack.url, ['--name', 'edge', '--runtime', 'tfjs-tflite', ...args])
  const online = () => eventually(async () => (await device()).state === 'online', 30_000)
  const device = () => stack.must<Device>('GET', '/devices/edge').catch(() => ({ state: 'none' }) as unknown as Device)
  const answered = () =>
    eventually(async () => {
      const state = await stack.must<DeviceConfigState>('GET', route)
      return state.report?.revision === state.revision && state
    })

  beforeAll(async () => {
    stack = await Stack.start()
    agent = await AgentProcess.prepare()
    join('--token', await stack.joinToken())
    await online()
  }, 60_000)
  afterAll(async () => {
    await agent.kill('SIGKILL')
    await stack.stop()
  })

  it('takes effect at once, and the device says what it runs with and what it did not take over', async () => {
    expect(await stack.must('GET', route)).toEqual({ revision: 0, wanted: {}, understood: true, report: null })
    const wish = { slots: 2, logLevel: 'debug', runtime: 'litert' }
    expect(await stack.must('PATCH', route, wish)).toMatchObject({ revision: 1, wanted: wish })
    const { report } = await answered()
    expect(report).toMatchObject({
      applied: { slots: 2, logLevel: 'debug', runtime: 'tfjs-tflite', runtimes: [{ name: 'tfjs-tflite' }] },
      refused: [{ setting: 'runtime', reason: expect.stringContaining('--runtime') }]
    })
    await eventually(async () => (await device()).capacity.slots === 2)
    // The same again is no change; null takes one back and leaves the others.
    expect(await stack.must('PATCH', route, { slots: 2 })).toMatchObject({ revision: 1 })
    const fewer = await stack.must<DeviceConfigState>('PATCH', route, { runtime: null, logLevel: null })
    expect(fewer).toMatchObject({ revision: 2, wanted: { slots: 2 } })
    expect((await answered()).report).toMatchObject({ applied: { slots: 2, logLevel: 'info' }, refused: [] })
  }, 60_000)

  it('is kept for a device that is away, and holds when it comes back', async () => {
    await agent.kill('SIGTERM')
    await eventually(async () => (await device()).state === 'offline')
    await stack.must('PATCH', route, { slots: 4 })
    join()
    await eventually(async () => (await device()).capacity.slots === 4, 30_000)
    expect((await answered()).report?.applied.slots).toBe(4)
    await agent.kill('SIGKILL')
    await eventually(async () => (await device()).state === 'offline')
    join()
    await online()
    expect((await answered()).report?.applied.slots).toBe(4)
  }, 90_000)

  it('is set and taken back by `skerry devices config`, which shows the answer', async () => {
    const said = await skerry(
      stack,
      'devices',
      'config',
      'edge',
      '--slots',
      '3',
      '--min-free-mb',
      '32',
      '--runtime',
      'litert'
    )
    expect(said).toMatch(/^slots +3 +3/m)
    expect(said).toMatch(/^min-free-mb +32 +32/m)
    expect(said).toMatch(/^runtime +litert +tfjs-tflite +It was started with --runtime, which wins: tfjs-tflite\./m)
    const bare = JSON.parse(await skerry(stack, 'devices', 'config', 'edge', '--unset', 'all', '--json'))
    expect(bare).toMatchObject({ wanted: {}, report: { applied: { slots: 1, minFreeMemoryBytes: 67_108_864 } } })
  }, 60_000)

  it('turns debug on and off by SIGUSR2', async () => {
    const log = async () => readFile(agent.logFile, 'utf8')
    process.kill(agent.pid, 'SIGUSR2')
    await eventually(async () => /"level":40.*"level":"debug".*changed by a signal/.test(await log()))
    process.kill(agent.pid, 'SIGUSR2')
    await eventually(async () => /"level":"info".*changed by a signal/.test(await log()))
  })

  it('leaves an older agent alone, and says so', async () => {
    const old = await summingDevice(stack, 'old')
    const unknown: unknown[] = []
    old.events.on('config', (frame) => unknown.push(frame))
    const state = await stack.must<DeviceConfigState>('PATCH', '/devices/old/config', { slots: 2 })
    expect(state).toMatchObject({ understood: false, report: null })
    await expect(skerry(stack, 'devices', 'config', 'old', '--slots', '3')).rejects.toThrow(/too old/)
    await old.close()
    await old.connect()
    expect(unknown).toEqual([])
    await old.close()
  })

  it.each([{ slots: 0 }, { logLevel: 'loud' }, { colour: 'red' }, {}, { minBatteryPercent: 101 }])(
    'refuses %j',
    async (wish) => {
      const refused = await stack.call<Problem>('PATCH', route, wish)
      expect([refused.status, refused.body.code]).toEqual([400, 'invalid-request'])
    }
  )

  it('knows no device that is not there', async () => {
    expect((await stack.call<Problem>('PATCH', '/devices/none/config', { slots: 1 })).body.code).toBe('device-unknown')
    expect((await stack.call<Problem>('GET', '/devices/none/config')).body.code).toBe('device-unknown')
  })
})
