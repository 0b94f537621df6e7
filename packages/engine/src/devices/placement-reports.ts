import type { PlacementFrame } from '@skerry/contracts'
import type { Static } from 'typebox'
import type { Cluster } from '../cluster/cluster.ts'
import type { EngineResources } from '../resources.ts'
import type { Connection } from './connections.ts'

/** What devices say about artifacts that they should hold. */
export class PlacementReports {
  readonly #resources: EngineResources
  readonly #cluster: Cluster

  constructor(resources: EngineResources, cluster: Cluster) {
    this.#resources = resources
    this.#cluster = cluster
  }

  /** Reports about an artifact that the device should no longer hold change nothing. */
  async onReport(connection: Connection, frame: Static<typeof PlacementFrame>): Promise<void> {
    const { registry, log } = this.#resources
    const { deviceId, session, name, ready } = connection
    const { deployment, artifact, state, reason } = frame
    if (!(await registry.deployments.reportPlacement(deployment, deviceId, artifact, state, reason))) return
    if (state === 'failed') log.warn({ device: name, deployment, reason }, 'a placement failed')
    let served = null
    if (state === 'ready') {
      const { devices } = await registry.deployments.get(deployment)
      const { variant, runtime, ...placed } = devices.find((entry) => entry.device === deviceId) ?? { artifact: null }
      if (variant && runtime && placed.artifact === artifact) served = { artifact, variant, runtime }
    }
    if (served === null) ready.delete(deployment)
    else ready.set(deployment, served)
    this.#cluster.tell({ type: 'placement', deviceId, session, deployment, served })
  }
}
