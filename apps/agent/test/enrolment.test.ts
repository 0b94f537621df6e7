import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { identityPath } from '../src/identity.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

describe('joining', () => {
  it('tells what the device is, and starts again later without a token and with the same key', async () => {
    const { controlPlane, agent, dataDir, options } = await fleet.join({
      name: 'pi-1',
      labels: { room: '3' },
      slots: 2
    })
    expect(controlPlane.enrolled).toMatchObject([
      { name: 'pi-1', labels: { room: '3' }, capabilities: ['infer'], slots: { infer: 2, convert: 0 } }
    ])
    const { facts } = (await controlPlane.frame('hello')).frame
    expect(facts.runtimes).toMatchObject([{ name: 'tfjs-tflite' }])
    expect(facts.memoryBytes).toBeGreaterThan(facts.diskFreeBytes > 0 ? 1_000_000 : Number.POSITIVE_INFINITY)
    const { health } = (await controlPlane.frame('heartbeat')).frame
    expect(health.rssBytes).toBeGreaterThan(10_000_000)
    expect(health.memoryUsedBytes).toBeLessThanOrEqual(facts.memoryBytes)
    expect((await stat(identityPath(dataDir))).mode & 0o777).toBe(0o600)

    await agent.stop()
    expect(await agent.closed).toEqual({ reason: 'stopped' })
    const { token: _spent, ...withoutToken } = options
    const again = await fleet.run(withoutToken)
    await controlPlane.session(2)
    expect(again.deviceId).toBe(agent.deviceId)
    expect(controlPlane.enrolled).toHaveLength(1)
  })

  it('says what to do when the token is used up, and leaves no identity behind', async () => {
    const controlPlane = await fleet.controlPlane()
    const dataDir = await fleet.dataDir()
    const options = { url: controlPlane.url, dataDir, runtime: 'tfjs-tflite' as const }
    await expect(fleet.run({ ...options, token: 'spent' })).rejects.toMatchObject({
      code: 'enrol-refused',
      message: expect.stringMatching(/used up.*make a new one/)
    })
    await expect(fleet.run(options)).rejects.toMatchObject({ code: 'token-needed' })
    expect(existsSync(identityPath(dataDir))).toBe(false)
    // What failed holds nothing: the next attempt is free to run.
    await fleet.run({ ...options, token: 'join-me' })
  })

  it('says so when nothing answers at the address', async () => {
    const dataDir = await fleet.dataDir()
    const options = { url: 'http://127.0.0.1:9', token: 't', dataDir, runtime: 'tfjs-tflite' as const }
    await expect(fleet.run(options)).rejects.toMatchObject({ code: 'control-plane-unreachable' })
  })

  it('refuses a second agent on the same data directory', async () => {
    const { options } = await fleet.join()
    await expect(fleet.run(options)).rejects.toMatchObject({ code: 'data-dir-in-use' })
  })

  it.each([
    [{ url: 'localhost:8080' }, /http:\/\//],
    [{ name: 'Not A Name' }, /not a name/],
    [{ capabilities: ['convert' as const] }, /Python/],
    [{ runtime: 'litert' as const }, /library/],
    [{ slots: 0 }, /at least 1/]
  ])('refuses the options %j with a sentence', async (wrong, words) => {
    await expect(fleet.run({ url: 'http://127.0.0.1:9', ...wrong })).rejects.toThrow(words)
  })
})

describe('stopping', () => {
  it('leaves no process and no socket behind', async () => {
    const held = (): string[] =>
      process
        .getActiveResourcesInfo()
        .filter((kind) => /Process|TCPSocket|Pipe/.test(kind))
        .sort()
    const before = held()
    const { controlPlane, agent } = await fleet.join()
    const model = faceDetector()
    const wish = controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names })
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    expect(held().length).toBeGreaterThan(before.length)
    await agent.stop()
    await agent.stop()
    await controlPlane.stop()
    // A closed handle leaves the list some turns later.
    await vi.waitFor(() => expect(held()).toEqual(before))
  })
})
