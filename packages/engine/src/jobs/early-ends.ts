import { cancelJob, type EndedEarly, failDeployment } from '@skerry/registry'
import type { Cluster } from '../cluster/cluster.ts'
import type { EngineResources } from '../resources.ts'
import type { Completion } from './completion.ts'

/** Ends jobs before their device does, at whichever replica this is asked; what runs them is told by the scheduler. */
export class EarlyEnds {
  readonly #resources: EngineResources
  readonly #completion: Completion
  readonly #cluster: Cluster

  constructor(resources: EngineResources, completion: Completion, cluster: Cluster) {
    this.#resources = resources
    this.#completion = completion
    this.#cluster = cluster
  }

  /** Cancels one job; false when it had ended. */
  async cancel(id: string): Promise<boolean> {
    const ended = await cancelJob(this.#resources.registry.pool, id)
    if (ended === null) return false
    this.ended([ended], 'cancelled')
    return true
  }

  async failJobsOf(deployment: string): Promise<void> {
    this.ended(await failDeployment(this.#resources.registry.pool, deployment), 'failed')
  }

  /** The rows have ended. */
  ended(jobs: EndedEarly[], state: string): void {
    if (jobs.length === 0) return
    this.#cluster.tell({ type: 'ended-early', jobs })
    for (const job of jobs) this.#completion.ended({ id: job.id, kind: job.kind, state })
  }
}
