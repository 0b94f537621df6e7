import type { PlacementFrame } from '@skerry/contracts'
import type { PlacementReport } from '@skerry/registry'
import type { Static } from 'typebox'
import { Batcher } from '../batcher.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { distinctRounds } from '../distinct-rounds.ts'
import type { EngineResources } from '../resources.ts'
import type { Connection } from './connections.ts'

type Placed = { variant: string | null; runtime: string | null } | null

/** What devices say about artifacts that they should hold. */
export class PlacementReports {
  readonly #resources: EngineResources
  readonly #cluster: Cluster
  readonly #reports: Batcher<PlacementReport, Placed>

  constructor(resources: EngineResources, cluster: Cluster) {
    this.#resources = resources
    this.#cluster = cluster
    this.#reports = new Batcher((reports) => this.#write(reports))
  }

  /** Reports about an artifact that the device should no longer hold change nothing. */
  async onReport(connection: Connection, frame: Static<typeof PlacementFrame>): Promise<void> {
    const { deviceId, session, name, ready } = connection
    const { deployment, artifact, state, reason } = frame
    const placed = await this.#reports.submit({ deployment, deviceId, artifact, state, reason })
    if (placed === null) return
    if (state === 'failed') this.#resources.log.warn({ device: name, deployment, reason }, 'a placement failed')
    const { variant, runtime } = placed
    const served = state === 'ready' && variant && runtime ? { artifact, variant, runtime } : null
    if (served === null) ready.delete(deployment)
    else ready.set(deployment, served)
    this.#cluster.tell({ type: 'placement', deviceId, session, deployment, served })
  }

  async #write(reports: PlacementReport[]): Promise<Placed[]> {
    const placed = new Map<PlacementReport, Placed>()
    for (const round of distinctRounds(reports, ({ deviceId, deployment }) => `${deviceId} ${deployment}`)) {
      const answers = await this.#resources.registry.placements.report(round)
      round.forEach((report, i) => {
        placed.set(report, answers[i] ?? null)
      })
    }
    return reports.map((report) => placed.get(report) ?? null)
  }
}
