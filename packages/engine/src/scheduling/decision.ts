import type { ServedArtifact } from '@skerry/scheduler'
import type { Session } from '../devices/fleet.ts'
import type { PlacedJob, WaitingWork } from './work.ts'

/** Which device does a job, and with what: `served` is null for what no deployment serves. */
export type Decision = {
  work: WaitingWork
  job: PlacedJob
  session: Session
  served: ServedArtifact | null
  predictedFinishMs: number
}

/** What a device serves and should time again. */
export type MeasurementWish = { deviceId: string; deployment: string; variant: string }
