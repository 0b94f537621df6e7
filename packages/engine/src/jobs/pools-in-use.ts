import { openPools, type Registry } from '@skerry/registry'
import { deploymentPool } from './pools.ts'

/** Pools in which something may wait: those of queued rows, and of each deployment, for calls have no row. */
export async function poolsInUse(registry: Registry): Promise<string[]> {
  const [open, deployments] = await Promise.all([openPools(registry.pool), registry.deployments.terms()])
  return [...new Set([...open, ...deployments.map(({ name }) => deploymentPool(name))])]
}
