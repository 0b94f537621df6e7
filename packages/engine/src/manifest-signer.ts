import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import { canonicalJson, type Manifest, type RuntimeLibrary } from '@skerry/contracts'
import type { Registry } from '@skerry/registry'

/** Signs what agents may run. */
export class ManifestSigner {
  readonly publicKeyBase64: string
  readonly #key: KeyObject
  private constructor(publicKey: Buffer, key: KeyObject) {
    this.publicKeyBase64 = publicKey.toString('base64')
    this.#key = key
  }

  static async open(registry: Registry): Promise<ManifestSigner> {
    const { publicKey, privateKey } = await registry.access.signingKey()
    return new ManifestSigner(publicKey, createPrivateKey({ key: privateKey, format: 'der', type: 'pkcs8' }))
  }

  /** Ed25519 over the statement's canonical JSON, base64. */
  sign(statement: Manifest | RuntimeLibrary): string {
    return sign(null, Buffer.from(canonicalJson(statement)), this.#key).toString('base64')
  }
}
