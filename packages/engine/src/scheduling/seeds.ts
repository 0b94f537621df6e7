import type { ServedArtifact } from '@skerry/scheduler'
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
}
