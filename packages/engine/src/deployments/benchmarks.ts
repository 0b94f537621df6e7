import { DEFAULT_TTL_MS, type Deployment } from '@skerry/contracts'
import { openBenchmarks, type Submitted } from '@skerry/registry'
import type { VariantCandidate } from '@skerry/scheduler'
import { devicePool } from '../jobs/pools.ts'
import type { Submission } from '../jobs/submission.ts'
import type { EngineResources } from '../resources.ts'

export const BENCHMARK_WARMUP_RUNS = 10
export const BENCHMARK_RUNS = 50

/** Jobs that time variants on devices. */
export class Benchmarks {
  readonly #resources: EngineResources
  readonly #submission: Submission

  constructor(resources: EngineResources, submission: Submission) {
    this.#resources = resources
    this.#submission = submission
  }

  /** Times those of the candidates on a device that are not being timed there already. */
  async request(deployment: Deployment, deviceId: string, candidates: VariantCandidate[]): Promise<void> {
    const open = await openBenchmarks(this.#resources.registry.pool, deviceId)
    for (const { variant, artifact, runtime } of candidates)
      if (!open.some((job) => job.artifact === artifact && job.runtime === runtime.name))
        await this.#insert(deployment, deviceId, variant, runtime.name)
  }

  /** Times a variant of a deployment on a device that serves it. */
  async submit(deviceId: string, name: string, variant: string): Promise<Submitted> {
    const deployment = await this.#resources.registry.deployments.get(name)
    const placement = deployment.devices.find((entry) => entry.device === deviceId)
    return this.#insert(deployment, deviceId, variant, placement?.runtime ?? 'litert')
  }

  async #insert(deployment: Deployment, deviceId: string, variant: string, runtime: string): Promise<Submitted> {
    const { model, version } = deployment
    const { manifest, signature, sha256 } = await this.#resources.registry.models.variant(model, version, variant)
    const warmupRuns = BENCHMARK_WARMUP_RUNS
    const runs = BENCHMARK_RUNS
    return this.#submission.insert({
      kind: 'benchmark',
      pool: devicePool(deviceId),
      priority: 50,
      model,
      version,
      deployment: deployment.name,
      payload: { kind: 'benchmark', artifact: sha256, runtime, manifest, signature, warmupRuns, runs },
      inputs: null,
      targetDeviceId: deviceId,
      selector: {},
      terms: {},
      maxAttempts: 3,
      ttlMs: DEFAULT_TTL_MS,
      idempotencyKey: null,
      requestHash: null
    })
  }
}
