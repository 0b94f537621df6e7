import { SkerryError } from '@skerry/contracts'
import type { NewJob } from '@skerry/registry'
import { admit } from '@skerry/scheduler'
import type { SubmissionGate } from '../jobs/submission.ts'
import type { SchedulingDesk } from './desk.ts'

/** Refuses work at once that the prediction says will miss its deadline. */
export class Admission implements SubmissionGate {
  readonly #desk: SchedulingDesk

  constructor(desk: SchedulingDesk) {
    this.#desk = desk
  }

  /** Throws `deadline-infeasible` with the least deadline that would be taken now. */
  async check(job: Omit<NewJob, 'payload' | 'inputs'>): Promise<void> {
    if (job.terms.deadline !== true || job.terms.bestEffort === true) return
    const terms = { ...job, target_device_id: job.targetDeviceId }
    const outlook = await this.#desk.outlook(terms, job.ttlMs)
    // Of work that never ran anywhere nothing can be said; the first to ask is not refused for it.
    if (outlook === 'unknown') return
    const admission = admit(outlook, job.ttlMs, 'strict')
    if (admission.kind !== 'refused') return
    const { earliestFinishMs } = admission
    const refusal =
      earliestFinishMs === null
        ? 'No device that is there now can do it.'
        : `The earliest that can be promised is ${earliestFinishMs} ms from now, the deadline is ${job.ttlMs} ms.`
    const summary = await this.#desk.summary(terms)
    const detail = summary === null ? refusal : `${refusal} ${summary}`
    throw new SkerryError('deadline-infeasible', detail, { members: { earliestFinishMs } })
  }
}
