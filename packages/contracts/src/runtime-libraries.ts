import type { Static } from 'typebox'
import { Sha256 } from './schema.ts'
import { Type } from './type.ts'

/** A runtime's native library, as the control plane hands it out: `kind` tells its statement from a manifest. */
export const RuntimeLibrary = Type.Object({
  kind: Type.Literal('runtime-library'),
  runtime: Type.Literal('litert'),
  version: Type.String({ minLength: 1, maxLength: 32 }),
  sha256: Sha256,
  bytes: Type.Integer({ minimum: 1 }),
  arch: Type.String({ description: "As in a device's facts: x64, arm64" }),
  libc: Type.Object({ name: Type.Literal('glibc'), version: Type.String({ description: 'The least that it needs' }) })
})
export type RuntimeLibrary = Static<typeof RuntimeLibrary>

export const RuntimeLibraryOffer = Type.Object({
  library: RuntimeLibrary,
  signature: Type.String({ description: "The control plane's, Ed25519 over the canonical JSON of `library`, base64" })
})
export type RuntimeLibraryOffer = Static<typeof RuntimeLibraryOffer>
