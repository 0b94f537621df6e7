import type { DesiredArtifact, RuntimeName } from '@skerry/contracts'
import type { Registry } from '@skerry/registry'

/** Everything that should be loaded on these devices, over all deployments; a device that should hold nothing is left out. */
export async function desiredFor(
  registry: Registry,
  deviceIds: readonly string[]
): Promise<Map<string, DesiredArtifact[]>> {
  const desired = await registry.placements.desired(deviceIds)
  return new Map(
    [...desired].map(([deviceId, placements]) => [
      deviceId,
      placements.map((each) => ({ ...each, runtime: each.runtime as RuntimeName }))
    ])
  )
}
