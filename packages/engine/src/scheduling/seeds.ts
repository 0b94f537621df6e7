import type { ServedArtifact } from '@skerry/scheduler'
import { Batcher } from '../batcher.ts'
import type { Session } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { Placer } from './placer.ts'

type Pair = { deviceId: string; artifact: string; runtime: string }

const keyOf = ({ deviceId, artifact, runtime }: Pair): string => `${deviceId} ${artifact} ${runtime}`

/** Where the scheduler's own measurements of a model on a device begin: what a benchmark of it there told. */
export class Seeds {
  readonly #placer: Placer
  readonly #measured: Batcher<Pair, number | undefined>

  constructor(resources: EngineResources, placer: Placer) {
    this.#placer = placer
    this.#measured = new Batcher(async (pairs) => {
      const deviceIds = [...new Set(pairs.map(({ deviceId }) => deviceId))]
      const artifacts = [...new Set(pairs.map(({ artifact }) => artifact))]
      const measured = await resources.registry.measurements.measuredP50(deviceIds, artifacts)
      const p50Ms = new Map(measured.map((each) => [keyOf(each), each.p50Ms]))
      return pairs.map((pair) => p50Ms.get(keyOf(pair)))
    })
  }

  async ready(deviceId: string, deployment: string, { artifact, runtime }: ServedArtifact): Promise<void> {
    const p50Ms = await this.#measured.submit({ deviceId, artifact, runtime })
    if (p50Ms !== undefined) this.#placer.seed(deviceId, deployment, p50Ms)
  }

  /** The device has timed what it serves. */
  measured(session: Session, { artifact, runtime, p50Ms }: { artifact: string; runtime: string; p50Ms: number }): void {
    for (const [deployment, served] of session.ready)
      if (served.artifact === artifact && served.runtime === runtime)
        this.#placer.seed(session.deviceId, deployment, p50Ms)
  }
}
