import { createPublicKey, verify } from 'node:crypto'
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { challengeText } from '@skerry/contracts'
import { afterEach, describe, expect, it } from 'vitest'
import { writeFileAtomic } from '../src/atomic-file.ts'
import { answerChallenge, identityPath, loadIdentity, makeDeviceKey, saveIdentity } from '../src/identity.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const { privateKey, publicKeyBase64 } = makeDeviceKey()
const identity = { deviceId: 'd', name: 'pi', url: 'http://x/', privateKey, controlPlanePublicKey: 'k' }

describe('the identity file', () => {
  it('is readable by its owner alone and gives back the key', async () => {
    const dataDir = await fleet.dataDir()
    await saveIdentity(dataDir, identity)
    expect((await stat(identityPath(dataDir))).mode & 0o777).toBe(0o600)
    const loaded = await loadIdentity(dataDir)
    expect(loaded).toMatchObject({ deviceId: 'd', name: 'pi', controlPlanePublicKey: 'k' })
    if (loaded === null) throw new Error('no identity')
    const signature = Buffer.from(answerChallenge(loaded.deviceId, loaded.privateKey, 'nonce'), 'base64')
    const key = createPublicKey({ key: Buffer.from(publicKeyBase64, 'base64'), format: 'der', type: 'spki' })
    expect(verify(null, Buffer.from(challengeText('nonce', 'd')), key, signature)).toBe(true)
    expect(verify(null, Buffer.from(challengeText('other', 'd')), key, signature)).toBe(false)
  })

  it('is refused when others may read it, and when it is damaged, with what to do', async () => {
    const dataDir = await fleet.dataDir()
    await saveIdentity(dataDir, identity)
    await chmod(identityPath(dataDir), 0o644)
    await expect(loadIdentity(dataDir)).rejects.toThrow(/chmod 600/)
    await chmod(identityPath(dataDir), 0o600)
    const text = await readFile(identityPath(dataDir), 'utf8')
    await writeFile(identityPath(dataDir), text.slice(0, text.length / 2))
    await expect(loadIdentity(dataDir)).rejects.toThrow(/join again with a new token/)
  })

  it('is absent on a device that has not joined', async () => {
    expect(await loadIdentity(await fleet.dataDir())).toBeNull()
  })
})

describe('an atomic write', () => {
  it('replaces the whole file, keeps the mode, and leaves no other file', async () => {
    const path = join(await fleet.dataDir(), 'deep', 'file')
    await writeFileAtomic(path, 'old, and longer than the new one', 0o600)
    await writeFileAtomic(path, 'new', 0o600)
    expect(await readFile(path, 'utf8')).toBe('new')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await readdir(join(path, '..'))).toEqual(['file'])
  })

  it('leaves the old file as it was when it fails', async () => {
    const path = join(await fleet.dataDir(), 'file')
    await writeFileAtomic(path, 'old', 0o600)
    const broken = 42 as unknown as string
    await expect(writeFileAtomic(path, broken, 0o600)).rejects.toThrow()
    expect(await readFile(path, 'utf8')).toBe('old')
    expect(await readdir(join(path, '..'))).toEqual(['file'])
  })
})
