import { DEFAULT_TTL_MS, SkerryError, type Variant } from '@skerry/contracts'
import { type DeploymentTerms, openBenchmarks, type Submitted } from '@skerry/registry'
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

  /** Times those of the candidates on each device that are not being timed there already. */
  async request(
    deployment: DeploymentTerms,
    variants: readonly Variant[],
    wanted: readonly { deviceId: string; candidates: VariantCandidate[] }[]
  ): Promise<void> {
    if (wanted.length === 0) return
    const open = await openBenchmarks(
      this.#resources.registry.pool,
      wanted.map(({ deviceId }) => deviceId)
    )
    const keyOf = (deviceId: string, artifact: string, runtime: string) => `${deviceId} ${artifact} ${runtime}`
    const known = new Set(open.map(({ deviceId, artifact, runtime }) => keyOf(deviceId, artifact, runtime)))
    const inserts: Promise<Submitted>[] = []
    for (const { deviceId, candidates } of wanted)
      for (const { variant, artifact, runtime } of candidates) {
        const found = variants.find((each) => each.variant === variant)
        if (found !== undefined && !known.has(keyOf(deviceId, artifact, runtime.name)))
          inserts.push(this.#insert(deployment, deviceId, found, runtime.name))
      }
    await Promise.all(inserts)
  }

  /** Times a variant of a deployment on a device that serves it. */
  async submit(deviceId: string, name: string, variant: string): Promise<Submitted> {
    const { deployments, placements, models } = this.#resources.registry
    const [deployment] = await deployments.terms([name])
    if (deployment === undefined) throw new SkerryError('deployment-unknown', `No deployment is named ${name}`)
    const placement = (await placements.of([deviceId])).find((entry) => entry.deployment === name)
    const found = await models.variant(deployment.model, deployment.version, variant)
    return this.#insert(deployment, deviceId, found, placement?.runtime ?? 'litert')
  }

  async #insert(deployment: DeploymentTerms, deviceId: string, variant: Variant, runtime: string): Promise<Submitted> {
    const { model, version } = deployment
    const { manifest, signature, sha256 } = variant
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
