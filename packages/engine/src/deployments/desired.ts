import type { DesiredArtifact, RuntimeName } from '@skerry/contracts'
import type { Registry } from '@skerry/registry'

/** Everything that should be loaded on a device, over all deployments. */
export async function desiredFor(registry: Registry, deviceId: string): Promise<DesiredArtifact[]> {
  const desired: DesiredArtifact[] = []
  for (const deployment of await registry.deployments.all()) {
    const placement = deployment.devices.find((entry) => entry.device === deviceId)
    if (placement === undefined || placement.variant === null || placement.artifact === null) continue
    const variant = await registry.models.variant(deployment.model, deployment.version, placement.variant)
    if (variant.manifest === undefined || variant.signature === undefined || variant.sha256 !== placement.artifact)
      continue
    desired.push({
      deployment: deployment.name,
      artifact: placement.artifact,
      runtime: placement.runtime as RuntimeName,
      manifest: variant.manifest,
      signature: variant.signature
    })
  }
  return desired
}
