import { createPublicKey, type KeyObject } from 'node:crypto'
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

/** SPKI's words for Ed25519, before the 32 bytes of the key (RFC 8410). */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
const SPKI_BYTES = 44

/** An enrolled key, to verify with. Reading DER takes OpenSSL 110 us, the same key as a JWK 14 us: each connection pays it. */
export function verifyingKey(der: Buffer): KeyObject {
  if (der.byteLength !== SPKI_BYTES || !der.subarray(0, SPKI_PREFIX.byteLength).equals(SPKI_PREFIX))
    return createPublicKey({ key: der, format: 'der', type: 'spki' })
  const x = der.subarray(SPKI_PREFIX.byteLength).toString('base64url')
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
}
