import type { LatencyModel } from '../profiles/latency-model.ts'
import { type Candidate, finishLogMs, newCandidate } from '../scores/candidate.ts'
import type { PendingWork } from './demand.ts'
import type { DeviceTable } from './device-table.ts'
import type { Fairness } from './fairness.ts'
import type { FinishTimes } from './finish-times.ts'
import type { Line } from './line.ts'
import type { Residency } from './residency.ts'
import type { Traits } from './traits.ts'

export type CandidateSources = {
  latency: LatencyModel
  devices: DeviceTable
  residency: Residency
  times: FinishTimes
  traits: Traits
  fairness: Fairness
  agingMs: number
}

/** Says of a piece of work on a device what scores read. What it answers is good until it is asked again. */
export class Candidates {
  readonly #sources: CandidateSources
  readonly #one = newCandidate()

  constructor(sources: CandidateSources) {
    this.#sources = sources
  }

  /** `leftMs` until the work's deadline; `waitMs` until the device is free. */
  ofDevice(device: number, artifact: number, leftMs: number, waitMs = 0): Candidate {
    const { latency, devices, residency, times, traits } = this.#sources
    const kind = devices.kindOf(device)
    const candidate = this.#one
    candidate.waitMs = waitMs
    candidate.coldStartMs = residency.coldMs(device, artifact)
    candidate.runLogMs = latency.kindLogMs(kind, artifact) + latency.deviceLogFactor(device)
    candidate.logChance = times.logChance(Math.exp(finishLogMs(candidate)), leftMs, device, artifact)
    candidate.kindLogMs = latency.kindSlowness(kind)
    candidate.watts = traits.watts(device)
    candidate.runs = traits.runs(device)
    candidate.kindRuns = traits.kindRuns(kind)
    candidate.fastestLogMs = 0
    candidate.slackMs = 0
    candidate.overdue = 0
    candidate.failedLogShare = 0
    return candidate
  }

  /** With what depends on the work alone. */
  ofWork(work: PendingWork, line: Line, device: number, nowMs: number): Candidate {
    const { times, fairness, agingMs } = this.#sources
    const { artifact } = line.demand
    const leftMs = work.deadlineMs - nowMs
    const ageMs = nowMs - work.submittedAtMs
    const candidate = this.ofDevice(device, artifact, leftMs)
    const takesMs = times.expectedMs(device, artifact)
    candidate.fastestLogMs = times.fastestLogMs(line)
    // Without a deadline soon age makes it urgent, and at last more than anything: it is not passed over for ever.
    candidate.slackMs = Math.max(0, Math.min(leftMs - takesMs, agingMs - ageMs))
    candidate.overdue = Math.max(0, ageMs / agingMs - 1)
    candidate.failedLogShare = fairness.logShare(artifact, nowMs)
    return candidate
  }
}
