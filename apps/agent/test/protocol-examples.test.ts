import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { AgentFrame, canonicalJson, encodeFrame, keyRotationText } from '@skerry/contracts'
import { beforeAll, describe, expect, it } from 'vitest'
import { answerChallenge } from '../src/identity.ts'

/** PKCS8 of an Ed25519 key whose seed is the bytes 00 to 1f. */
const privateKey = createPrivateKey({
  key: Buffer.concat([
    Buffer.from('302e020100300506032b657004220420', 'hex'),
    Buffer.from(Array.from({ length: 32 }, (_, index) => index))
  ]),
  format: 'der',
  type: 'pkcs8'
})

describe('docs/agent-protocol.md', () => {
  let document = ''

  beforeAll(async () => {
    document = await readFile(new URL('../../../docs/agent-protocol.md', import.meta.url), 'utf8')
  })

  it('gives the key and the signature that this agent answers its challenge with', () => {
    const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).toString('base64')
    const deviceId = '0199d0b0-0000-7000-8000-000000000001'
    expect(document).toContain(publicKey)
    expect(document).toContain(answerChallenge(deviceId, privateKey, 'Zm9vYmFy'))
  })

  it('gives the text and the signature of a new key', () => {
    const deviceId = '0199d0b0-0000-7000-8000-000000000001'
    const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).toString('base64')
    const text = keyRotationText(deviceId, publicKey)
    expect(text).toBe(`skerry.v1 rotate-key\n${deviceId}\n${publicKey}`)
    expect(document).toContain(sign(null, Buffer.from(text), privateKey).toString('base64'))
  })

  it('gives the canonical JSON and the signature over it', () => {
    const manifest = {
      note: 'é\n"',
      names: { outputs: { score: 'output_0' }, inputs: { image: 'x' } },
      ratio: 1e-7,
      bytes: 8_810_000,
      artifact: '5b0f'
    }
    const canonical = canonicalJson(manifest)
    expect(document).toContain(`\n${canonical}\n`)
    expect(document).toContain(sign(null, Buffer.from(canonical), privateKey).toString('base64'))
  })

  it('gives the bytes of a frame with a body', () => {
    const frame = encodeFrame({ type: 'x' } as unknown as AgentFrame, [new Uint8Array(new Float32Array([1]).buffer)])
    const hex = Buffer.from(frame).toString('hex')
    expect(document.replaceAll(' ', '')).toContain(hex)
  })

  it('shows every frame that an agent sends', () => {
    for (const frame of AgentFrame.anyOf) expect(document).toContain(`"type": "${frame.properties.type.const}"`)
  })
})
