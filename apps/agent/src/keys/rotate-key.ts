import { sign } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { isA, keyRotationText, RotateKeyAnswer, type RotateKeyRequest } from '@skerry/contracts'
import { AgentError } from '../agent-error.ts'
import type { OnPoint } from '../agent-point.ts'
import { defaultDataDir } from '../config.ts'
import { tryLock } from '../data-dir-lock.ts'
import { endpointsOf } from '../endpoints.ts'
import { HttpExchange, readBody, readProblem } from '../http-exchange.ts'
import { type Identity, identityPath, makeDeviceKey, publicKeyOf, readIdentity, saveIdentity } from '../identity.ts'

export type KeyRotation = {
  dataDir: string
  http: HttpExchange
  /** The control plane's `agent/v1/rotate-key`. */
  url: URL
  onPoint: OnPoint
  signal?: AbortSignal
}

const ANSWER_BYTES = 65_536

/**
 * Gives this device a new key, in steps that a power loss may separate:
 *
 *     the new key is kept beside the old one -> the control plane takes it -> the old one is forgotten
 *
 * A new key that is kept already is the one that is offered: the control plane may have taken it before an answer was
 * lost, and answers the same request in the same way. Nothing but `adoptNextKey` forgets a key.
 *
 * @throws AgentError, retryable where it may work later.
 */
export function rotateKey(rotation: KeyRotation): Promise<Identity> {
  const { dataDir, onPoint } = rotation
  return withIdentityOf(dataDir, async (kept) => {
    const nextKey = kept.nextKey ?? makeDeviceKey().privateKey
    if (kept.nextKey === undefined) {
      await saveIdentity(dataDir, { ...kept, nextKey }, () => onPoint('key-next-written'))
      onPoint('key-next-saved')
    }
    await offer({ ...kept, nextKey }, rotation)
    onPoint('key-taken')
    const { nextKey: _, ...identity } = { ...kept, privateKey: nextKey }
    await saveIdentity(dataDir, identity, () => onPoint('key-written'))
    onPoint('key-saved')
    return identity
  })
}

/** The control plane has been seen to take the new key. */
export function adoptNextKey(dataDir: string): Promise<Identity> {
  return withIdentityOf(dataDir, async (kept) => {
    if (kept.nextKey === undefined) return kept
    const { nextKey, ...identity } = kept
    const adopted = { ...identity, privateKey: nextKey }
    await saveIdentity(dataDir, adopted)
    return adopted
  })
}

export type ChangeKeyOptions = {
  /** Default `~/.skerry/agent`. */
  dataDir?: string
  /** The control plane's address; by default where the device joined. */
  url?: string
}

/** For the command on the device, whether its agent runs or not: a running one reads its key anew when it reconnects. */
export async function changeDeviceKey(options: ChangeKeyOptions): Promise<{ deviceId: string; name: string }> {
  const dataDir = resolve(options.dataDir ?? defaultDataDir())
  const known = await readIdentity(dataDir)
  if (known === null)
    throw new AgentError('identity-invalid', `${dataDir} holds no identity: this device has not joined.`)
  const { uid } = await stat(identityPath(dataDir))
  if (process.getuid !== undefined && process.getuid() !== uid) {
    // A file of another owner, mode 0600, would lock the agent out of its own identity.
    throw new AgentError('identity-invalid', `Run this as the user of the agent (uid ${uid}), whose file it writes.`)
  }
  const address = options.url ?? known.url
  const base = URL.parse(address)
  if (base === null)
    throw new AgentError('option-invalid', `'${address}' is not an address: write it as http://HOST:PORT.`)
  const http = new HttpExchange()
  try {
    return await rotateKey({ dataDir, http, url: endpointsOf(base).rotateKey, onPoint: () => undefined })
  } finally {
    http.close()
  }
}

/** One process at a time writes the file; an agent and the command may both want to. */
async function withIdentityOf<T>(dataDir: string, work: (kept: Identity) => Promise<T>): Promise<T> {
  const unlock = await tryLock('identity', dataDir)
  if (unlock === null)
    throw new AgentError('data-dir-in-use', 'The key of this device is being changed already.', { retryable: true })
  try {
    const kept = await readIdentity(dataDir)
    if (kept === null) throw new AgentError('identity-invalid', `${dataDir} holds no identity.`)
    return await work(kept)
  } finally {
    await unlock()
  }
}

async function offer(
  { deviceId, privateKey, nextKey }: Required<Identity>,
  { http, url, signal }: KeyRotation
): Promise<void> {
  const publicKey = publicKeyOf(nextKey)
  const text = Buffer.from(keyRotationText(deviceId, publicKey))
  const request: RotateKeyRequest = {
    deviceId,
    publicKey,
    oldSignature: sign(null, text, privateKey).toString('base64'),
    newSignature: sign(null, text, nextKey).toString('base64')
  }
  const body = Buffer.from(JSON.stringify(request))
  const headers = { 'content-type': 'application/json', 'content-length': String(body.byteLength) }
  const given = signal === undefined ? {} : { signal }
  const response = await http.call({ method: 'POST', url, headers, body, ...given })
  if ((response.statusCode ?? 0) >= 400) throw refusal(await readProblem(response))
  const answer: unknown = JSON.parse((await readBody(response, ANSWER_BYTES)).toString('utf8'))
  if (!isA(RotateKeyAnswer, answer) || answer.publicKey !== publicKey)
    throw new AgentError('key-refused', `${url.origin} does not answer like a control plane: check the address.`)
}

function refusal({ status, code, words }: { status: number; code: string; words: string }): AgentError {
  if (code === 'device-revoked') return new AgentError('device-revoked')
  if (code === 'route-unknown') return new AgentError('key-refused', 'The control plane is too old to take a new key.')
  const retryable = status >= 500 || status === 429
  return new AgentError('key-refused', `The control plane did not take the new key: ${words}.`, { retryable })
}
