import type { MeasuredPair } from '@skerry/registry'
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
  readonly #measured: Batcher<Pair, MeasuredPair | undefined>

  constructor(resources: EngineResources, placer: Placer) {
    this.#placer = placer
    this.#measured = new Batcher(async (pairs) => {
      const deviceIds = [...new Set(pairs.map(({ deviceId }) => deviceId))]
      const artifacts = [...new Set(pairs.map(({ artifact }) => artifact))]
      const measured = await resources.registry.measurements.measuredP50(deviceIds, artifacts)
      const byPair = new Map(measured.map((each) => [keyOf(each), each]))
      return pairs.map((pair) => byPair.get(keyOf(pair)))
    })
  }

  async ready(deviceId: string, deployment: string, { artifact, runtime }: ServedArtifact): Promise<void> {
    const measured = await this.#measured.submit({ deviceId, artifact, runtime })
    if (measured !== undefined) this.#placer.seed(deviceId, deployment, measured)
  }

  /** The device has timed what it serves. */
  measured(session: Session, result: Omit<MeasuredPair, 'deviceId'>): void {
    for (const [deployment, served] of session.ready)
      if (served.artifact === result.artifact && served.runtime === result.runtime)
        this.#placer.seed(session.deviceId, deployment, result)
  }
}
