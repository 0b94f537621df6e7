import type { Filter } from '../framework.ts'

/** Reads memory in use by the last heartbeat; an artifact that is loaded already needs nothing more. */
export const memoryFilter: Filter = {
  name: 'memory',
  reads: 'device.memoryBytes, device.health.memoryUsedBytes, work.artifact.memoryBytes',
  reject: ({ artifact }, device) => {
    if (artifact === null || device.artifacts.get(artifact.sha256) === 'loaded') return null
    const freeBytes = device.memoryBytes - (device.health?.memoryUsedBytes ?? 0)
    return artifact.memoryBytes <= freeBytes ? null : 'too little memory is free'
  }
}
