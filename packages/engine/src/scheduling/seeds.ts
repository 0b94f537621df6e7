import type { ServedArtifact } from '@skerry/scheduler'
import type { Session } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { Placer } from './placer.ts'

/** Where the scheduler's own measurements of a model on a device begin: what a benchmark of it there told. */
export class Seeds {
  readonly #resources: EngineResources
  readonly #placer: Placer

  constructor(resources: EngineResources, placer: Placer) {
    this.#resources = resources
    this.#placer = placer
  }

  async ready(deviceId: string, deployment: string, { artifact, runtime }: ServedArtifact): Promise<void> {
    const { measurements } = this.#resources.registry
    const p50Ms = (await measurements.measuredP50(deviceId, runtime, [artifact])).get(artifact)
    if (p50Ms !== undefined) this.#placer.seed(deviceId, deployment, p50Ms)
  }

  /** The device has timed what it serves. */
  measured(session: Session, { artifact, runtime, p50Ms }: { artifact: string; runtime: string; p50Ms: number }): void {
    for (const [deployment, served] of session.ready)
      if (served.artifact === artifact && served.runtime === runtime)
        this.#placer.seed(session.deviceId, deployment, p50Ms)
  }
}
