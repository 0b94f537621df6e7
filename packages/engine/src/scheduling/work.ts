import type { JobRow, WaitingJob } from '@skerry/registry'
import type { PendingWork, WorkRequest } from '@skerry/scheduler'
import type { Slot } from '../devices/fleet.ts'
import type { ServerClock } from './server-clock.ts'

/** Best-effort work is looked at as if it had this much more time: behind what can be on time, but still tried. */
const BEST_EFFORT_MS = 60_000
const DEFAULT_MAX_SKEW = 1

/** What the scheduler places: a row, or a call that has none. */
export type PlacedJob = Omit<WaitingJob, 'created_ms' | 'expires_ms'>
/** A job that waits in the scheduler's memory. */
export type WaitingWork = PendingWork & { job: PlacedJob }
/** By the scheduler's clock, milliseconds. */
export type WorkTimes = { submittedAtMs: number; deadlineMs: number }

/** What of a job decides where it may run. */
export type Terms = Pick<JobRow, 'id' | 'kind' | 'model' | 'deployment' | 'target_device_id' | 'selector' | 'terms'>

export const slotOf = (kind: JobRow['kind']): Slot => (kind === 'conversion' ? 'convert' : 'infer')

/** What is asked of a device, as the filters read it. */
export function workRequest(job: Terms): WorkRequest {
  const { spread, tolerations = [] } = job.terms
  return {
    id: job.id,
    model: job.model,
    capability: slotOf(job.kind),
    targetDeviceId: job.target_device_id,
    deployment: job.kind === 'inference' ? job.deployment : null,
    selector: job.selector,
    tolerations,
    spread: spread === undefined ? null : { label: spread.label, maxSkew: spread.maxSkew ?? DEFAULT_MAX_SKEW },
    artifact: null
  }
}

/** Equal for jobs that the same devices can do, and that count together where they are spread. */
export function demandKey(job: Terms): string {
  const { tolerations = [], spread } = job.terms
  const isPlain = Object.keys(job.selector).length === 0 && tolerations.length === 0 && spread === undefined
  const place = `${job.kind} ${job.deployment ?? ''} ${job.target_device_id ?? ''}`
  if (isPlain) return place
  const selector = Object.entries(job.selector).sort(([a], [b]) => (a < b ? -1 : 1))
  return `${place} ${JSON.stringify([selector, [...tolerations].sort(), spread ?? null])}`
}

/** The work whose latency is learnt together. */
export const columnOf = (job: Pick<Terms, 'kind' | 'deployment'>): string =>
  job.kind === 'inference' ? deploymentColumn(job.deployment) : job.kind

export const deploymentColumn = (deployment: string | null): string => `deployment ${deployment}`

export function timesOf(
  { created_ms, expires_ms, terms }: Pick<WaitingJob, 'created_ms' | 'expires_ms' | 'terms'>,
  clock: ServerClock
): WorkTimes {
  const graceMs = terms.bestEffort === true ? BEST_EFFORT_MS : 0
  return { submittedAtMs: clock.toLocal(created_ms), deadlineMs: clock.toLocal(expires_ms) + graceMs }
}
