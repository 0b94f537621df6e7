import type { Logger } from 'pino'
import type { ArtifactCache } from '../artifact-cache.ts'
import type { RuntimeHost } from '../runtime-host.ts'

export type StepDeps = {
  cache: ArtifactCache
  host: RuntimeHost
  /** Ed25519, SPKI DER, base64: whose signature a manifest must bear. */
  controlPlanePublicKey: string
  /** Artifacts made before are refused, whoever signed them. */
  oldestArtifact?: Date | undefined
  log: Logger
}
