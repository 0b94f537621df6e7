import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { challengeText, isA, Type } from '@skerry/contracts'
import { AgentError, wordsOf } from './agent-error.ts'
import { temporaryPath, writeFileAtomic } from './atomic-file.ts'

const IdentityFile = Type.Object({
  deviceId: Type.String({ minLength: 1 }),
  name: Type.String(),
  url: Type.String(),
  privateKey: Type.String(),
  controlPlanePublicKey: Type.String()
})

/** Who this device is to its control plane. The private key was made here and never leaves. */
export type Identity = {
  deviceId: string
  name: string
  /** Where it joined, for whoever reads the file. */
  url: string
  privateKey: KeyObject
  /** Ed25519, SPKI DER, base64, as it was told at enrolment: signs manifests. */
  controlPlanePublicKey: string
}

export type DeviceKey = { privateKey: KeyObject; publicKeyBase64: string }

export function makeDeviceKey(): DeviceKey {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return { privateKey, publicKeyBase64: publicKey.export({ type: 'spki', format: 'der' }).toString('base64') }
}

export const identityPath = (dataDir: string): string => join(dataDir, 'identity.json')

/** null when this device has not joined yet. Throws `identity-invalid` for a file that others may read or that is damaged. */
export async function loadIdentity(dataDir: string): Promise<Identity | null> {
  const path = identityPath(dataDir)
  // A key that never became this device's would lie there for ever.
  await rm(temporaryPath(path), { force: true })
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
    const privateKey = createPrivateKey({ key: Buffer.from(file.privateKey, 'base64'), format: 'der', type: 'pkcs8' })
    return { ...file, privateKey }
  } catch (error) {
    throw new AgentError(
      'identity-invalid',
      `${path} is damaged (${wordsOf(error)}): delete it and join again with a new token.`
    )
  }
}

export async function saveIdentity(dataDir: string, identity: Identity, onWritten?: () => void): Promise<void> {
  const privateKey = identity.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64')
  const text = `${JSON.stringify({ ...identity, privateKey }, null, 2)}\n`
  await writeFileAtomic(identityPath(dataDir), text, 0o600, onWritten)
}

/** The answer to the control plane's challenge: Ed25519 over `challengeText`, base64. */
export function answerChallenge(identity: Identity, nonce: string): string {
  return sign(null, Buffer.from(challengeText(nonce, identity.deviceId)), identity.privateKey).toString('base64')
}
