import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { verifyingKey } from '../src/agent/ed25519-key.ts'

describe('verifyingKey', () => {
  it('verifies what the enrolled key signed, and nothing else', () => {
    const [own, other] = [generateKeyPairSync('ed25519'), generateKeyPairSync('ed25519')]
    const text = Buffer.from('challenge')
    const key = verifyingKey(own.publicKey.export({ format: 'der', type: 'spki' }))
    expect(verify(null, text, key, sign(null, text, own.privateKey))).toBe(true)
    expect(verify(null, text, key, sign(null, text, other.privateKey))).toBe(false)
    expect(key.equals(own.publicKey)).toBe(true)
  })

  it('reads keys of other kinds as what they are, and throws for what is no key', () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    expect(verifyingKey(ec.export({ format: 'der', type: 'spki' })).equals(ec)).toBe(true)
    expect(() => verifyingKey(Buffer.alloc(44))).toThrow()
  })
})
