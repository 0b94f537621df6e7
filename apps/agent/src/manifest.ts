import { createPublicKey, verify } from 'node:crypto'
import { canonicalJson, type Manifest } from '@skerry/contracts'
import { AgentError, wordsOf } from './agent-error.ts'

/**
 * Refuses (`manifest-invalid`) a manifest that the control plane did not sign, or one that speaks of another artifact
 * than the one it came with. `publicKeyBase64` is SPKI DER; the signature is Ed25519 over the canonical JSON, base64.
 */
export function verifyManifest(
  manifest: Manifest,
  signatureBase64: string,
  artifact: string,
  publicKeyBase64: string
): void {
  if (signatureBase64 === '') throw new AgentError('manifest-invalid', 'The manifest is not signed.')
  const genuine = isSignedBy(manifest, signatureBase64, publicKeyBase64)
  if (!genuine) throw new AgentError('manifest-invalid', "The manifest's signature is not the control plane's.")
  if (manifest.artifact !== artifact) {
    throw new AgentError('manifest-invalid', `The manifest is for artifact ${manifest.artifact}, not ${artifact}.`)
  }
}

/** Throws `manifest-invalid` where key or signature are none. */
export function isSignedBy(statement: object, signatureBase64: string, publicKeyBase64: string): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKeyBase64, 'base64'), format: 'der', type: 'spki' })
    return verify(null, Buffer.from(canonicalJson(statement)), key, Buffer.from(signatureBase64, 'base64'))
  } catch (error) {
    throw new AgentError('manifest-invalid', `The signature of the manifest cannot be checked: ${wordsOf(error)}`)
  }
}
