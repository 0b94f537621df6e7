import { createPrivateKey } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { tryLock } from '../src/data-dir-lock.ts'
import { identityPath, publicKeyOf, readIdentity } from '../src/identity.ts'
import { changeDeviceKey } from '../src/index.ts'
import { assignInference } from './assignments.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const model = faceDetector()

/** The public keys that the file holds: the device's own, and the one that may take its place. */
async function keysOn(dataDir: string): Promise<string[]> {
  const { privateKey, nextPrivateKey } = JSON.parse(await readFile(identityPath(dataDir), 'utf8'))
  return [privateKey, nextPrivateKey]
    .filter((key) => key !== undefined)
    .map((key) => publicKeyOf(createPrivateKey({ key: Buffer.from(key, 'base64'), format: 'der', type: 'pkcs8' })))
}

describe('a device that is asked for a new key', () => {
  it('makes one, has it taken, connects with it, and keeps it for the next start, with its work', async () => {
    const { controlPlane, agent, dataDir, options } = await fleet.join()
    const wish = controlPlane.place('faces', model.bytes, 'tfjs-tflite', { names: model.names })
    controlPlane.desired = [wish]
    controlPlane.send({ type: 'desired', artifacts: [wish] })
    await controlPlane.frame('placement', ({ state }) => state === 'ready')
    const jobId = assignInference(controlPlane, { artifact: wish.artifact, model })
    controlPlane.send({ type: 'rotate-key' })
    await controlPlane.session(2)
    // The result goes out again in the session of the new key.
    await controlPlane.frame('result', (frame, { session }) => frame.jobId === jobId && session === 2)
    const [before] = controlPlane.enrolled
    const [taken] = controlPlane.rotated
    await expect.poll(() => keysOn(dataDir)).toEqual([taken?.publicKey])
    expect(taken?.publicKey).not.toBe(before?.publicKey)
    expect((await stat(identityPath(dataDir))).mode & 0o777).toBe(0o600)
    expect((await readdir(dataDir)).filter((name) => name.endsWith('.tmp'))).toEqual([])
    await agent.stop()
    await fleet.run(options)
    await controlPlane.session(3)
    expect(await keysOn(dataDir)).toEqual([taken?.publicKey])
  })

  it.each(['lost', 'late'] as const)('connects with the new one when the answer is %s', async (how) => {
    const { controlPlane, dataDir } = await fleet.join()
    controlPlane.keys = how
    controlPlane.send({ type: 'rotate-key' })
    await controlPlane.session(2)
    expect(controlPlane.unproven).toBeGreaterThan(0)
    await expect.poll(() => keysOn(dataDir)).toEqual(controlPlane.rotated.map(({ publicKey }) => publicKey))
    expect(controlPlane.rotated).toHaveLength(1)
    // What was half done is over: the next wish is another key.
    controlPlane.keys = 'taken'
    controlPlane.send({ type: 'rotate-key' })
    await expect.poll(() => controlPlane.rotated.length).toBe(2)
    await expect.poll(() => keysOn(dataDir)).toEqual([controlPlane.rotated[1]?.publicKey])
  })

  it('keeps both keys while nothing takes the new one, and offers the same one in its next session', async () => {
    const { controlPlane, agent, dataDir, options } = await fleet.join()
    controlPlane.keys = 'unavailable'
    controlPlane.send({ type: 'rotate-key' })
    await expect.poll(() => keysOn(dataDir)).toHaveLength(2)
    const [old, next] = await keysOn(dataDir)
    expect(old).toBe(controlPlane.enrolled[0]?.publicKey)
    await agent.stop()
    controlPlane.keys = 'taken'
    await fleet.run(options)
    await controlPlane.session(3)
    await expect.poll(() => keysOn(dataDir)).toEqual([next])
    expect(controlPlane.rotated.map(({ publicKey }) => publicKey)).toEqual([next])
  })
})

describe('changing the key by a command on the device', () => {
  it('has the running agent connect with the new key', async () => {
    const { controlPlane, dataDir } = await fleet.join()
    await changeDeviceKey({ dataDir })
    await controlPlane.session(2)
    expect(await keysOn(dataDir)).toEqual(controlPlane.rotated.map(({ publicKey }) => publicKey))
  })

  it('needs no running agent, says why it cannot, and waits for nobody who does it already', async () => {
    const { controlPlane, agent, dataDir, options } = await fleet.join()
    await agent.stop()
    await changeDeviceKey({ dataDir })
    controlPlane.keys = 'refused'
    await expect(changeDeviceKey({ dataDir })).rejects.toMatchObject({ code: 'device-revoked' })
    controlPlane.keys = 'unavailable'
    await expect(changeDeviceKey({ dataDir })).rejects.toThrow(/did not take the new key/)
    const unlock = await tryLock('identity', dataDir)
    await expect(changeDeviceKey({ dataDir })).rejects.toThrow(/being changed already/)
    await unlock?.()
    await expect(changeDeviceKey({ dataDir: await fleet.dataDir() })).rejects.toThrow(/has not joined/)
    // What was offered and not taken stays beside the key that counts.
    expect(await keysOn(dataDir)).toHaveLength(2)
    controlPlane.keys = 'taken'
    await fleet.run(options)
    await controlPlane.session(3)
    await expect.poll(async () => (await readIdentity(dataDir))?.nextKey).toBeUndefined()
  })
})
