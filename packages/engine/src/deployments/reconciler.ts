import {
  DEFAULT_TTL_MS,
  type Deployment,
  type DeploymentPhase,
  type DesiredArtifact,
  type PlacementFrame,
  type RuntimeName,
  type Variant
} from '@skerry/contracts'
import { type DeviceRecord, openBenchmarks, type PlacementWrite, type Submitted } from '@skerry/registry'
import { chooseVariant, matchesSelector, type OperatorSupport, type VariantCandidate } from '@skerry/scheduler'
import type { Static } from 'typebox'
import type { Fleet, Session } from '../devices/fleet.ts'
import { type Dispatcher, deploymentPool, devicePool } from '../jobs/dispatcher.ts'
import type { Submission } from '../jobs/submission.ts'
import type { EngineResources } from '../resources.ts'

export const BENCHMARK_WARMUP_RUNS = 10
export const BENCHMARK_RUNS = 50

/**
 * Brings each deployment's placements to what its variants, its devices and their measurements say now.
 *
 *   per device:  ineligible (why)
 *                pending: equally accurate variants are being timed there (benchmark jobs)
 *                pending -> fetching -> verifying -> loading -> checking -> ready | failed     (the device reports)
 */
export class DeploymentReconciler {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #dispatcher: Dispatcher
  readonly #submission: Submission
  readonly #support: OperatorSupport
  /** Benchmarks that failed since this process started, by device, artifact and runtime: those candidates are out. */
  readonly #benchmarkFailures = new Map<string, string>()
  #due: Set<string> | null = null
  #running: Promise<void> | null = null

  constructor(
    resources: EngineResources,
    parts: { fleet: Fleet; dispatcher: Dispatcher; submission: Submission; support: OperatorSupport }
  ) {
    this.#resources = resources
    this.#fleet = parts.fleet
    this.#dispatcher = parts.dispatcher
    this.#submission = parts.submission
    this.#support = parts.support
  }

  /** Reconciles this deployment soon; calls in between are joined. */
  schedule(deployment: string): void {
    this.#due ??= new Set()
    this.#due.add(deployment)
    this.#running ??= this.#drain().finally(() => {
      this.#running = null
      if (this.#due !== null) this.schedule(deployment)
    })
  }

  scheduleAll(): void {
    this.schedule('*')
  }

  async idle(): Promise<void> {
    await this.#running
  }

  async #drain(): Promise<void> {
    while (this.#due !== null) {
      const due: Set<string> = this.#due
      this.#due = null
      try {
        for (const deployment of await this.#resources.registry.deployments.all())
          if (due.has('*') || due.has(deployment.name)) await this.#reconcile(deployment)
      } catch (error) {
        this.#resources.log.error({ err: error }, 'a deployment could not be reconciled')
      }
    }
  }

  async #reconcile(deployment: Deployment): Promise<void> {
    const { registry } = this.#resources
    const variants = await registry.models.variants(deployment.model, deployment.version)
    for (const device of await registry.devices.allRecords()) {
      const placed = deployment.devices.find((placement) => placement.device === device.id)
      if (!device.capabilities.includes('infer') || !matchesSelector(deployment.selector, device.labels)) {
        if (placed !== undefined) await registry.deployments.removePlacement(deployment.name, device.id)
        continue
      }
      const write = await this.#place(deployment, device, variants)
      const same =
        placed !== undefined &&
        placed.artifact === write.artifact &&
        placed.runtime === write.runtime &&
        (write.artifact !== null || (placed.state === write.state && (placed.reason ?? null) === write.reason))
      if (same) continue
      await registry.deployments.writePlacement(write)
      this.#fleet.setReady(device.id, deployment.name, null)
      await this.sendDesired(device.id)
    }
    await this.#updatePhase(deployment.name)
  }

  async #place(deployment: Deployment, device: DeviceRecord, variants: Variant[]): Promise<PlacementWrite> {
    const artifacts = variants.flatMap((variant) => variant.sha256 ?? [])
    const p50Ms = new Map<string, Map<string, number>>()
    for (const runtime of device.facts.runtimes)
      p50Ms.set(
        runtime.name,
        await this.#resources.registry.measurements.measuredP50(device.id, runtime.name, artifacts)
      )
    const choice = chooseVariant({
      variants,
      allowed: deployment.variants === 'auto' ? [] : deployment.variants,
      allowUnproven: deployment.allowUnproven,
      runtimes: device.facts.runtimes,
      support: this.#support,
      p50Ms: (artifact, runtime) => p50Ms.get(runtime)?.get(artifact),
      failure: (artifact, runtime) => this.#benchmarkFailures.get(`${device.id} ${artifact} ${runtime}`)
    })
    const empty = { deployment: deployment.name, deviceId: device.id, variant: null, artifact: null, runtime: null }
    if (choice.kind === 'ineligible') return { ...empty, state: 'ineligible', reason: choice.reason }
    if (choice.kind === 'measure') {
      await this.#benchmark(deployment, device, choice.candidates)
      const names = choice.candidates.map((candidate) => candidate.variant).join(', ')
      const reason = device.connected
        ? `equally accurate variants are being timed on this device: ${names}`
        : `the device is offline; ${names} have to be timed on it first`
      return { ...empty, state: 'pending', reason }
    }
    const { variant, artifact, runtime } = choice.candidate
    return {
      ...empty,
      variant,
      artifact,
      runtime: runtime.name,
      state: 'pending',
      reason: null,
      measured: choice.measured,
      passedOver: choice.passedOver
    }
  }

  async #benchmark(deployment: Deployment, device: DeviceRecord, candidates: VariantCandidate[]): Promise<void> {
    const open = await openBenchmarks(this.#resources.registry.pool, device.id)
    for (const { variant, artifact, runtime } of candidates)
      if (!open.some((job) => job.artifact === artifact && job.runtime === runtime.name))
        await this.#insertBenchmark(deployment, device.id, variant, runtime.name)
  }

  /** Times a variant of a deployment on a device that serves it. */
  async submitBenchmark(deviceId: string, name: string, variant: string): Promise<Submitted> {
    const deployment = await this.#resources.registry.deployments.get(name)
    const placement = deployment.devices.find((entry) => entry.device === deviceId)
    return this.#insertBenchmark(deployment, deviceId, variant, placement?.runtime ?? 'litert')
  }

  async #insertBenchmark(
    deployment: Deployment,
    deviceId: string,
    variant: string,
    runtime: string
  ): Promise<Submitted> {
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
      maxAttempts: 3,
      ttlMs: DEFAULT_TTL_MS,
      idempotencyKey: null,
      requestHash: null
    })
  }

  /** A benchmark ended without a figure: its variant is not a candidate on that device any more. */
  benchmarkFailed(deviceId: string, artifact: string, runtime: string, reason: string): void {
    this.#benchmarkFailures.set(`${deviceId} ${artifact} ${runtime}`, `its benchmark on this device failed: ${reason}`)
  }

  /** Everything that should be loaded on a device, over all deployments. */
  async desiredFor(deviceId: string): Promise<DesiredArtifact[]> {
    const desired: DesiredArtifact[] = []
    for (const deployment of await this.#resources.registry.deployments.all()) {
      const placement = deployment.devices.find((entry) => entry.device === deviceId)
      if (placement === undefined || placement.variant === null || placement.artifact === null) continue
      const { registry } = this.#resources
      const variant = await registry.models.variant(deployment.model, deployment.version, placement.variant)
      if (variant.manifest === undefined || variant.signature === undefined || variant.sha256 !== placement.artifact)
        continue
      desired.push({
        deployment: deployment.name,
        artifact: placement.artifact,
        runtime: placement.runtime as RuntimeName,
        manifest: variant.manifest,
        signature: variant.signature
      })
    }
    return desired
  }

  async sendDesired(deviceId: string): Promise<void> {
    const session = this.#fleet.get(deviceId)
    if (session !== undefined) session.link.send({ type: 'desired', artifacts: await this.desiredFor(deviceId) })
  }

  /** What a device says about an artifact; reports about one it should no longer hold change nothing. */
  async onReport(session: Session, frame: Static<typeof PlacementFrame>): Promise<void> {
    const { registry, log } = this.#resources
    const { deployment, artifact, state, reason } = frame
    const current = await registry.deployments.reportPlacement(deployment, session.deviceId, artifact, state, reason)
    if (!current) return
    if (state === 'failed') log.warn({ device: session.name, deployment, reason }, 'a placement failed')
    if (state === 'ready') {
      const placement = (await registry.deployments.get(deployment)).devices.find(
        (entry) => entry.device === session.deviceId
      )
      if (placement?.variant && placement.runtime && placement.artifact === artifact) {
        const { variant, runtime } = placement
        this.#fleet.setReady(session.deviceId, deployment, { artifact, variant, runtime })
        this.#dispatcher.wake(deploymentPool(deployment))
        this.#dispatcher.wake(devicePool(session.deviceId))
      }
    } else this.#fleet.setReady(session.deviceId, deployment, null)
    await this.#updatePhase(deployment)
  }

  /** Ready when every connected device that can serve it does, and at least one does. */
  async #updatePhase(name: string): Promise<void> {
    const { devices } = await this.#resources.registry.deployments.get(name)
    const counted = devices.filter(
      (entry) => entry.state !== 'ineligible' && this.#fleet.get(entry.device) !== undefined
    )
    let phase: DeploymentPhase = 'progressing'
    if (
      counted.some((entry) => entry.state === 'ready') &&
      counted.every((entry) => ['ready', 'failed'].includes(entry.state))
    )
      phase = 'ready'
    else if (counted.length > 0 && counted.every((entry) => entry.state === 'failed')) phase = 'failed'
    else if (devices.length > 0 && devices.every((entry) => entry.state === 'ineligible')) phase = 'failed'
    await this.#resources.registry.deployments.setPhase(name, phase)
  }
}
