import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import type { Device, Diagnostics, Problem } from '@skerry/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { untar } from '../apps/agent/test/untar.ts'
import { AgentProcess } from './agent-process.ts'
import { skerry } from './cli.ts'
import { summingDevice } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

describe("a device's diagnostics, asked for from the control plane", () => {
  let stack: Stack
  let agent: AgentProcess
  let token = ''
  const route = '/devices/edge/diagnostics'

  beforeAll(async () => {
    stack = await Stack.start()
    agent = await AgentProcess.prepare()
    token = await stack.joinToken()
    agent.start(stack.url, ['--name', 'edge', '--runtime', 'tfjs-tflite', '--token', token])
    await eventually(async () => (await stack.call<Device>('GET', '/devices/edge')).body.state === 'online', 30_000)
  }, 60_000)
  afterAll(async () => {
    await agent.kill('SIGKILL')
    await stack.stop()
  })

  it('are written to a file by `skerry devices diagnostics`, without a secret in them', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'skerry-diagnostics-'))
    const file = path.join(folder, 'edge.tar.gz')
    expect(await skerry(stack, 'devices', 'diagnostics', 'edge', '--out', file)).toContain(file)
    expect((await stat(file)).mode & 0o077).toBe(0)
    const files = untar(await readFile(file))
    expect(files.get('skerry-edge/log.txt')).toMatch(/INFO {2}in session with the control plane/)
    const all = [...files.values()].join('\n')
    const { privateKey } = JSON.parse(await readFile(path.join(agent.dataDir, 'data/identity.json'), 'utf8'))
    for (const secret of [token, privateKey, stack.key]) expect(all).not.toContain(secret)
    expect(all).not.toMatch(/session_|MC4CAQ/)
    await rm(folder, { recursive: true })
  }, 30_000)

  it('belong to the device that was asked, and are asked for once per Idempotency-Key', async () => {
    const ask = () => stack.must<Diagnostics>('POST', route, {}, { 'idempotency-key': 'once' })
    const asked = await ask()
    expect(await ask()).toEqual(asked)
    const ready = await stack.must<Diagnostics>('GET', `${route}/${asked.id}?waitMs=10000`)
    expect(ready).toMatchObject({ state: 'ready', sha256: expect.any(String), bytes: expect.any(Number) })
    const other = await summingDevice(stack, 'other')
    const answer = await stack.call<Problem>('GET', `/devices/other/diagnostics/${asked.id}`)
    expect([answer.status, answer.body.code]).toEqual([404, 'diagnostics-unknown'])
    const old = await stack.call<Problem>('POST', '/devices/other/diagnostics', {})
    expect(old.body).toMatchObject({ code: 'device-state', detail: expect.stringMatching(/too old/) })
    await other.close()
    const away = async () => (await stack.call<Problem>('POST', '/devices/other/diagnostics', {})).body.detail ?? ''
    await eventually(async () => /not connected/.test(await away()))
  }, 30_000)
})
