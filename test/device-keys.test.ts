import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { once } from 'node:events'
import path from 'node:path'
import {
  type ControlFrame,
  challengeText,
  type Device,
  type EnrolAnswer,
  keyRotationText,
  type Problem,
  SUBPROTOCOL
} from '@skerry/contracts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { AgentProcess } from './agent-process.ts'
import { skerry } from './cli.ts'
import { summingDevice } from './simulated-model.ts'
import { eventually, Stack } from './stack.ts'

type Pair = { publicKey: KeyObject; privateKey: KeyObject }
const der = ({ publicKey }: Pair): string => publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
const facts = { arch: 'x64', os: 'x', cpuModel: 'x', cores: 1, memoryBytes: 1, diskFreeBytes: 1, runtimes: [] }
const terms = { capabilities: ['infer'], slots: { infer: 1, convert: 0 }, facts }

let stack: Stack
beforeAll(async () => {
  stack = await Stack.start()
}, 60_000)
afterAll(() => stack.stop())

async function post<T>(route: string, body: unknown): Promise<{ status: number; body: T }> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${stack.url}${route}`, { method: 'POST', headers, body: JSON.stringify(body) })
  return { status: response.status, body: (await response.json()) as T }
}

async function enrolled(name: string): Promise<{ id: string; key: Pair }> {
  const key = generateKeyPairSync('ed25519')
  const request = { token: await stack.joinToken(), name, publicKey: der(key), ...terms }
  return { id: (await post<EnrolAnswer>('/agent/v1/enrol', request)).body.deviceId, key }
}

function offer(id: string, oldKey: Pair, newKey: Pair, changes: { newSigner?: Pair } = {}) {
  const text = Buffer.from(keyRotationText(id, der(newKey)))
  const by = ({ privateKey }: Pair): string => sign(null, text, privateKey).toString('base64')
  const request = { deviceId: id, publicKey: der(newKey) }
  const signatures = { oldSignature: by(oldKey), newSignature: by(changes.newSigner ?? newKey) }
  return post<Problem>('/agent/v1/rotate-key', { ...request, ...signatures })
}

/** What a hello by this key is answered with, and the socket that it came on. */
async function hello(id: string, { privateKey }: Pair): Promise<{ answer: string; socket: WebSocket }> {
  const socket = new WebSocket(`${stack.url.replace('http', 'ws')}/agent/v1`, SUBPROTOCOL)
  for (;;) {
    const [data] = (await once(socket, 'message')) as [Buffer]
    const frame = JSON.parse(data.toString()) as ControlFrame
    if (frame.type === 'challenge') {
      const signature = sign(null, Buffer.from(challengeText(frame.nonce, id)), privateKey).toString('base64')
      socket.send(JSON.stringify({ type: 'hello', deviceId: id, signature, holding: [], ...terms }))
    } else return { answer: frame.type === 'refused' ? frame.code : frame.type, socket }
  }
}

describe('the control plane', () => {
  it('takes a new key that the old and the new one prove, ends the session of the old one, and refuses it', async () => {
    const { id, key } = await enrolled('rotates')
    const next = generateKeyPairSync('ed25519')
    const { answer, socket } = await hello(id, key)
    expect(answer).toBe('welcome')
    const closed = once(socket, 'close')
    expect((await offer(id, key, next)).status).toBe(200)
    expect(String((await closed)[1])).toMatch(/key of this device was replaced/)
    expect((await hello(id, key)).answer).toBe('device-unproven')
    const again = await hello(id, next)
    expect(again.answer).toBe('welcome')
    const { keySha256 } = await stack.must<Device>('GET', '/devices/rotates')
    expect(keySha256).toBe(
      createHash('sha256')
        .update(Buffer.from(der(next), 'base64'))
        .digest('hex')
    )
    // The answer was lost: the same request is answered like the first, and ends no session.
    expect((await offer(id, key, next)).status).toBe(200)
    expect(again.socket.readyState).toBe(WebSocket.OPEN)
    again.socket.terminate()
  })

  it('takes none that either key does not prove, nor an old one back', async () => {
    const { id, key } = await enrolled('keeps')
    const [next, stranger] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')]
    const refused = [
      await offer(id, stranger, next),
      await offer(id, key, next, { newSigner: stranger }),
      await offer(id, key, next, { newSigner: key })
    ]
    for (const { status, body } of refused) expect([status, body.code]).toEqual([401, 'device-unproven'])
    expect((await offer('0199d0b0-0000-7000-8000-000000000009', key, next)).body.code).toBe('device-unknown')
    expect((await offer(id, key, generateKeyPairSync('ed448') as never)).body.code).toBe('invalid-request')
    expect((await offer(id, key, next)).status).toBe(200)
    expect((await offer(id, key, stranger)).body.code).toBe('device-unproven')
    const { answer, socket } = await hello(id, next)
    expect(answer).toBe('welcome')
    socket.terminate()
  })

  it('takes one of two that come at once', async () => {
    const { id, key } = await enrolled('races')
    const pairs = Array.from({ length: 6 }, () => generateKeyPairSync('ed25519'))
    const answers = await Promise.all(pairs.map((pair) => offer(id, key, pair)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401, 401, 401, 401, 401])
  })

  it('takes none of a revoked device', async () => {
    const { id, key } = await enrolled('revoked')
    await stack.must('POST', '/devices/revoked/revoke')
    const { status, body } = await offer(id, key, generateKeyPairSync('ed25519'))
    expect([status, body.code]).toEqual([403, 'device-revoked'])
    expect((await stack.call<Problem>('POST', '/devices/revoked/rotate-key')).body.detail).toMatch(/revoked for good/)
  })

  it('asks no device that is away, or whose agent is too old', async () => {
    const device = await summingDevice(stack, 'older')
    const asked = await stack.call<Problem>('POST', '/devices/older/rotate-key')
    expect([asked.status, asked.body.detail]).toEqual([409, expect.stringMatching(/too old/)])
    await device.close()
    const words = async () => (await stack.call<Problem>('POST', '/devices/older/rotate-key')).body.detail ?? ''
    await eventually(async () => /not connected/.test(await words()))
  })
})

describe('a real device', () => {
  it('gets new keys from its operator, and by its own command while it runs and while it does not', async () => {
    const agent = await AgentProcess.prepare()
    const dataDir = path.join(agent.dataDir, 'data')
    const edge = () => stack.must<Device>('GET', '/devices/edge')
    const online = () =>
      eventually(async () => (await stack.call<Device>('GET', '/devices/edge')).body.state === 'online', 30_000)
    const start = () => agent.start(stack.url, ['--name', 'edge', '--runtime', 'tfjs-tflite', '--token', token])
    const token = await stack.joinToken()
    start()
    try {
      await online()
      const keys = new Set([(await edge()).keySha256])
      expect(await skerry(stack, 'devices', 'rotate-key', 'edge')).toMatch(/edge has a new key/)
      keys.add((await edge()).keySha256)
      await online()
      expect(await skerry(stack, 'agent', 'rotate-key', '--data-dir', dataDir)).toMatch(/edge has a new key/)
      keys.add((await edge()).keySha256)
      await online()
      await agent.kill('SIGKILL')
      await skerry(stack, 'agent', 'rotate-key', '--data-dir', dataDir)
      keys.add((await edge()).keySha256)
      expect(keys.size).toBe(4)
      start()
      await online()
    } finally {
      await agent.kill('SIGKILL')
    }
  }, 90_000)
})
