import { SkerryError, type TensorDescription } from '@skerry/contracts'
import type { EngineResources } from '../resources.ts'

/** A message that it changed can be lost. */
const CACHE_MS = 1_000
/** So long it may still be gone by while it is read again. */
const STALE_MS = 2_000

export type Serving = { deployment: string; version: string; inputs: TensorDescription[]; outputs: TensorDescription[] }

/** Which deployment answers for a model, and the tensors that the model was uploaded with. */
export class ServingModels {
  readonly #resources: EngineResources
  readonly #found = new Map<string, { atMs: number; found: Promise<Serving> }>()

  constructor(resources: EngineResources) {
    this.#resources = resources
  }

  /** A model's deployments or tensors changed. */
  forget(): void {
    this.#found.clear()
  }

  /** Throws SkerryError: model-unknown, version-unknown, not-deployed. */
  of(model: string, version: string | undefined): Promise<Serving> {
    const key = `${model}\n${version ?? ''}`
    const cached = this.#found.get(key)
    const ageMs = cached === undefined ? Number.POSITIVE_INFINITY : this.#resources.nowMs() - cached.atMs
    if (cached !== undefined && ageMs < CACHE_MS) return cached.found
    const found = this.#find(model, version)
    const fresh = { atMs: this.#resources.nowMs(), found }
    found.catch(() => {
      if (this.#found.get(key) === fresh) this.#found.delete(key)
    })
    this.#found.set(key, fresh)
    return cached !== undefined && ageMs < STALE_MS ? cached.found : found
  }

  async #find(model: string, version: string | undefined): Promise<Serving> {
    const { registry } = this.#resources
    if (version === undefined) await registry.models.getModel(model)
    else await registry.models.getVersion(model, version)
    const deployment = await registry.deployments.serving(model, version)
    if (deployment === null)
      throw new SkerryError(
        'not-deployed',
        `No deployment serves ${model}${version === undefined ? '' : ` ${version}`}: POST /api/v1/deployments first`
      )
    const { inputs, outputs } = await registry.models.getVersion(model, deployment.version)
    if (inputs === undefined || outputs === undefined)
      throw new SkerryError(
        'not-deployed',
        `${model} ${deployment.version} was not converted yet: its inputs are not known`
      )
    return { deployment: deployment.name, version: deployment.version, inputs, outputs }
  }
}
