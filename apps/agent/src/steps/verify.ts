import { fileSha256 } from '@skerry/runtimes'
import { AgentError } from '../agent-error.ts'
import { verifyManifest } from '../manifest.ts'
import type { Unit } from '../plan.ts'
import type { StepDeps } from './step-deps.ts'

/**
 * Nothing unsigned runs: the manifest bears the control plane's signature and names this artifact. The file is hashed
 * again, because it may have lain on the disk since an earlier start; one that changed is thrown away and fetched anew.
 */
export async function verify(unit: Unit, deps: StepDeps, signal: AbortSignal): Promise<void> {
  verifyManifest(unit.manifest, unit.signature, unit.artifact, deps.controlPlanePublicKey)
  const { oldestArtifact: oldest } = deps
  const { createdAt } = unit.manifest
  if (oldest !== undefined && new Date(createdAt) < oldest) {
    const words = `It was made at ${createdAt}, and this device takes none from before ${oldest.toISOString()}.`
    throw new AgentError('artifact-too-old', words)
  }
  if ((await fileSha256(deps.cache.path(unit.artifact), signal)) === unit.artifact) return
  await deps.cache.evict(unit.artifact)
  throw new AgentError('digest-mismatch', 'The file on the disk has changed since it was fetched.', { retryable: true })
}
