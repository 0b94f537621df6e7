import { DEFAULT_TTL_MS, SkerryError, type Variant } from '@skerry/contracts'
import { type BenchmarkJob, benchmarkJobs, type DeploymentTerms, type Submitted } from '@skerry/registry'
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

  /** Postgres says it, not a message: a decision just after a failure has to know of it. */
  async timingsOn(deviceIds: readonly string[]): Promise<Timings> {
    return new Timings(await benchmarkJobs(this.#resources.registry.pool, deviceIds))
  }

  /** Times those of the candidates on each device that are not being timed there already. */
  async request(
    deployment: DeploymentTerms,
    variants: readonly Variant[],
    wanted: readonly { deviceId: string; candidates: VariantCandidate[] }[],
    timings: Timings
  ): Promise<void> {
    const inserts: Promise<Submitted>[] = []
    for (const { deviceId, candidates } of wanted)
      for (const { variant, artifact, runtime } of candidates) {
        const found = variants.find((each) => each.variant === variant)
        if (found !== undefined && timings.begin(deviceId, artifact, runtime.name))
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

/** What is being timed on some devices, and what failed when it was. */
export class Timings {
  readonly #underWay = new Set<string>()
  readonly #failures = new Map<string, string>()

  constructor(jobs: readonly BenchmarkJob[]) {
    for (const { deviceId, artifact, runtime, failure } of jobs) {
      const key = timingKey(deviceId, artifact, runtime)
      if (failure === null) this.#underWay.add(key)
      else this.#failures.set(key, `its benchmark on this device failed: ${failure}`)
    }
  }

  /** Why it is no candidate there. */
  failure(deviceId: string, artifact: string, runtime: string): string | undefined {
    return this.#failures.get(timingKey(deviceId, artifact, runtime))
  }

  /** False when it is being timed there already. */
  begin(deviceId: string, artifact: string, runtime: string): boolean {
    const key = timingKey(deviceId, artifact, runtime)
    if (this.#underWay.has(key)) return false
    this.#underWay.add(key)
    return true
  }
}

const timingKey = (deviceId: string, artifact: string, runtime: string): string => `${deviceId} ${artifact} ${runtime}`
