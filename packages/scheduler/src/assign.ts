import type { JobKind, Labels } from '@skerry/contracts'
import { matchesSelector } from './selector.ts'

export type ServedArtifact = { artifact: string; variant: string; runtime: string }

export type SchedulableDevice = {
  id: string
  labels: Labels
  /** False while cordoned, draining, or refusing work by itself. */
  accepts: boolean
  free: { infer: number; convert: number }
  /** Deployments whose artifact is ready here. */
  ready: ReadonlyMap<string, ServedArtifact>
  /** When it was last given work; the longest idle one goes first. */
  lastAssignedAtMs: number
}

export type SchedulableJob = {
  id: string
  epoch: number
  kind: JobKind
  deployment: string | null
  targetDeviceId: string | null
  selector: Labels
}

export type Assignment = { job: SchedulableJob; deviceId: string; served: ServedArtifact | null }

export const slotKind = (kind: JobKind): 'infer' | 'convert' => (kind === 'conversion' ? 'convert' : 'infer')

/** Whether the device may do this job at all, free or not. */
export function mayRun(job: SchedulableJob, device: SchedulableDevice): boolean {
  return (
    device.accepts &&
    (job.targetDeviceId === null || job.targetDeviceId === device.id) &&
    matchesSelector(job.selector, device.labels) &&
    (job.kind !== 'inference' || (job.deployment !== null && device.ready.has(job.deployment)))
  )
}

/**
 * The oldest job to a free eligible slot. `jobs` stand in their order (class, then age); no device is given more than its
 * free slots, and a job that no free device may run is passed over, so it holds up nobody behind it.
 */
export function assign(jobs: Iterable<SchedulableJob>, devices: readonly SchedulableDevice[]): Assignment[] {
  const free = new Map(devices.map((device) => [device.id, { ...device.free }]))
  const byIdleness = [...devices].sort((a, b) => a.lastAssignedAtMs - b.lastAssignedAtMs || (a.id < b.id ? -1 : 1))
  let slotsLeft = devices.reduce((sum, device) => sum + device.free.infer + device.free.convert, 0)
  const assignments: Assignment[] = []
  for (const job of jobs) {
    if (slotsLeft === 0) break
    const slot = slotKind(job.kind)
    const index = byIdleness.findIndex((device) => (free.get(device.id)?.[slot] ?? 0) > 0 && mayRun(job, device))
    const device = byIdleness[index]
    const left = device === undefined ? undefined : free.get(device.id)
    if (device === undefined || left === undefined) continue
    left[slot] -= 1
    slotsLeft -= 1
    byIdleness.splice(index, 1)
    byIdleness.push(device)
    const served = job.deployment === null ? null : (device.ready.get(job.deployment) ?? null)
    assignments.push({ job, deviceId: device.id, served })
  }
  return assignments
}
