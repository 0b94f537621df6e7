import { createPublicKey } from 'node:crypto'
import { SkerryError } from '@skerry/contracts'

/** The DER of a device's public key. Throws `invalid-request` for anything else. */
export function ed25519Key(base64: string): Buffer {
  const der = Buffer.from(base64, 'base64')
  try {
    if (createPublicKey({ key: der, format: 'der', type: 'spki' }).asymmetricKeyType === 'ed25519') return der
  } catch (cause) {
    throw new SkerryError('invalid-request', 'publicKey is not a key in SPKI DER, base64', { cause })
  }
  throw new SkerryError('invalid-request', 'publicKey is not an Ed25519 key')
}
