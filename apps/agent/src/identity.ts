import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { challengeText, isA, Type } from '@skerry/contracts'
import { AgentError, wordsOf } from './agent-error.ts'
import { temporaryPath, writeFileAtomic } from './atomic-file.ts'
import { tryLock } from './data-dir-lock.ts'

const IdentityFile = Type.Object({
  deviceId: Type.String({ minLength: 1 }),
  name: Type.String(),
  url: Type.String(),
  privateKey: Type.String(),
  nextPrivateKey: Type.Optional(Type.String()),
  controlPlanePublicKey: Type.String()
})

/** Who this device is to its control plane. The private key was made here and never leaves. */
export type Identity = {
  deviceId: string
  name: string
  /** Where it joined, for whoever reads the file. */
  url: string
  privateKey: KeyObject
  /** While a rotation is under way: the control plane may have taken this one already. */
  nextKey?: KeyObject
  /** Ed25519, SPKI DER, base64, as it was told at enrolment: signs manifests. */
  controlPlanePublicKey: string
}

export type DeviceKey = { privateKey: KeyObject; publicKeyBase64: string }

export function makeDeviceKey(): DeviceKey {
  const { privateKey } = generateKeyPairSync('ed25519')
  return { privateKey, publicKeyBase64: publicKeyOf(privateKey) }
}

/** SPKI DER, base64. */
export const publicKeyOf = (privateKey: KeyObject): string =>
  createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).toString('base64')

export const identityPath = (dataDir: string): string => join(dataDir, 'identity.json')

/** For a start: as `readIdentity`, and what a crash left beside it goes. */
export async function loadIdentity(dataDir: string): Promise<Identity | null> {
  const unlock = await tryLock('identity', dataDir)
  // While another process changes the key, the unfinished file is its own.
  if (unlock !== null) {
    // A key that never became this device's would lie there for ever.
    await rm(temporaryPath(identityPath(dataDir)), { force: true }).finally(unlock)
  }
  return readIdentity(dataDir)
}

/** null when this device has not joined yet. Throws `identity-invalid` for a file that others may read or that is damaged. */
export async function readIdentity(dataDir: string): Promise<Identity | null> {
  const path = identityPath(dataDir)
  let text: string
  try {
    if (((await stat(path)).mode & 0o077) !== 0) {
      throw new AgentError('identity-invalid', `Others may read ${path}: run chmod 600 on it, or join again.`)
    }
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  try {
    const file: unknown = JSON.parse(text)
    if (!isA(IdentityFile, file)) throw new Error('it does not hold an identity')
    const { deviceId, name, url, controlPlanePublicKey, nextPrivateKey } = file
    const privateKey = keyFrom(file.privateKey)
    const next = nextPrivateKey === undefined ? {} : { nextKey: keyFrom(nextPrivateKey) }
    return { deviceId, name, url, privateKey, ...next, controlPlanePublicKey }
  } catch (error) {
    throw new AgentError(
      'identity-invalid',
      `${path} is damaged (${wordsOf(error)}): delete it and join again with a new token.`
    )
  }
}

const keyFrom = (base64: string): KeyObject =>
  createPrivateKey({ key: Buffer.from(base64, 'base64'), format: 'der', type: 'pkcs8' })

const keyText = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'der' }).toString('base64')

export async function saveIdentity(dataDir: string, identity: Identity, onWritten?: () => void): Promise<void> {
  const { privateKey, nextKey, ...rest } = identity
  const next = nextKey === undefined ? {} : { nextPrivateKey: keyText(nextKey) }
  const text = `${JSON.stringify({ ...rest, privateKey: keyText(privateKey), ...next }, null, 2)}\n`
  await writeFileAtomic(identityPath(dataDir), text, 0o600, onWritten)
}

/** The answer to the control plane's challenge: Ed25519 over `challengeText`, base64. */
export function answerChallenge(deviceId: string, privateKey: KeyObject, nonce: string): string {
  return sign(null, Buffer.from(challengeText(nonce, deviceId)), privateKey).toString('base64')
}
