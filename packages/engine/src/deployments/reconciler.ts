import type { Deployment, DeploymentPhase, Variant } from '@skerry/contracts'
import type { DeviceRecord, PlacementWrite } from '@skerry/registry'
import { chooseVariant, matchesSelector, type OperatorSupport, type VariantChoice } from '@skerry/scheduler'
import type { Fleet } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { Benchmarks } from './benchmarks.ts'
import { desiredFor } from './desired.ts'
import { asksMore, RequirementPlacement } from './requirement-placement.ts'

type DeploymentDevice = Deployment['devices'][number]

/** A decision older than this was in Postgres before the device's connection was made. */
const SETTLED_AFTER_MS = 10_000

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
  readonly #benchmarks: Benchmarks
  readonly #support: OperatorSupport
  /** Benchmarks that failed since this process started, by device, artifact and runtime: those candidates are out. */
  readonly #benchmarkFailures = new Map<string, string>()
  /** When what a device should load was last read to be sent. */
  readonly #desiredAtMs = new Map<string, number>()
  #due: Set<string> | null = null
  #running: Promise<void> | null = null
  #stopped = false

  constructor(resources: EngineResources, parts: { fleet: Fleet; benchmarks: Benchmarks; support: OperatorSupport }) {
    this.#resources = resources
    this.#fleet = parts.fleet
    this.#benchmarks = parts.benchmarks
    this.#support = parts.support
  }

  /** Reconciles this deployment soon; calls in between are joined. */
  schedule(deployment: string): void {
    if (this.#stopped) return
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

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #drain(): Promise<void> {
    while (this.#due !== null && !this.#stopped) {
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
    const { registry, nowMs } = this.#resources
    const { requirements, selector } = deployment
    const variants = await registry.models.variants(deployment.model, deployment.version)
    // Before what is known of them, so that none is missing there.
    const records = await registry.devices.allRecords()
    const options = { nowMs: nowMs(), support: this.#support }
    const required = asksMore(requirements)
      ? await RequirementPlacement.read(registry, deployment, variants, options)
      : null
    const takes = ({ capabilities, labels }: DeviceRecord) =>
      capabilities.includes('infer') &&
      matchesSelector(selector, labels) &&
      matchesSelector(requirements.selector ?? {}, labels)
    for (const device of records) {
      if (this.#stopped) return
      const placed = deployment.devices.find((placement) => placement.device === device.id)
      if (!takes(device)) {
        if (placed !== undefined) await registry.deployments.removePlacement(deployment.name, device.id)
        continue
      }
      const write = await this.#place(deployment, device, variants, required)
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

  async #place(
    deployment: Deployment,
    device: DeviceRecord,
    variants: Variant[],
    required: RequirementPlacement | null
  ): Promise<PlacementWrite> {
    const failure = (artifact: string, runtime: string) =>
      this.#benchmarkFailures.get(`${device.id} ${artifact} ${runtime}`)
    const choice =
      required === null
        ? await this.#choose(deployment, device, variants, failure)
        : required.choose(device.id, failure)
    const empty = { deployment: deployment.name, deviceId: device.id, variant: null, artifact: null, runtime: null }
    if (choice.kind === 'ineligible') return { ...empty, state: 'ineligible', reason: choice.reason }
    if (choice.kind === 'measure') {
      await this.#benchmarks.request(deployment, device.id, choice.candidates)
      const names = choice.candidates.map((candidate) => candidate.variant).join(', ')
      const which = required === null ? 'equally accurate variants' : 'variants that may meet the requirements'
      const reason = device.connected
        ? `${which} are being timed on this device: ${names}`
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

  async #choose(
    deployment: Deployment,
    device: DeviceRecord,
    variants: Variant[],
    failure: (artifact: string, runtime: string) => string | undefined
  ): Promise<VariantChoice> {
    const artifacts = variants.flatMap((variant) => variant.sha256 ?? [])
    const p50Ms = new Map<string, Map<string, number>>()
    for (const runtime of device.facts.runtimes)
      p50Ms.set(
        runtime.name,
        await this.#resources.registry.measurements.measuredP50(device.id, runtime.name, artifacts)
      )
    return chooseVariant({
      variants,
      allowed: deployment.variants === 'auto' ? [] : deployment.variants,
      allowUnproven: deployment.allowUnproven,
      runtimes: device.facts.runtimes,
      support: this.#support,
      p50Ms: (artifact, runtime) => p50Ms.get(runtime)?.get(artifact),
      failure
    })
  }

  /** A benchmark ended without a figure: its variant is not a candidate on that device any more. */
  benchmarkFailed(deviceId: string, artifact: string, runtime: string, reason: string): void {
    this.#benchmarkFailures.set(`${deviceId} ${artifact} ${runtime}`, `its benchmark on this device failed: ${reason}`)
  }

  async sendDesired(deviceId: string): Promise<void> {
    this.#desiredAtMs.set(deviceId, this.#resources.nowMs())
    const artifacts = await desiredFor(this.#resources.registry, deviceId)
    this.#fleet.get(deviceId)?.link.send({ type: 'desired', artifacts })
  }

  /** Its replica read what the device should load; what was decided about then may have missed both. */
  connected(deviceId: string): void {
    const nowMs = this.#resources.nowMs()
    for (const [id, atMs] of this.#desiredAtMs) if (nowMs - atMs > SETTLED_AFTER_MS) this.#desiredAtMs.delete(id)
    if (this.#desiredAtMs.has(deviceId)) void this.sendDesired(deviceId).catch(this.#failed)
  }

  /** Holds what replicas say of devices against Postgres: what an earlier scheduler wrote may not have reached them. */
  async verify(deviceIds: readonly string[]): Promise<void> {
    if (deviceIds.length === 0) return
    const asked = new Set(deviceIds)
    const placed = new Map<string, Map<string, DeploymentDevice>>()
    for (const { name, devices } of await this.#resources.registry.deployments.all())
      for (const placement of devices)
        if (asked.has(placement.device)) {
          const of = placed.get(placement.device) ?? new Map<string, DeploymentDevice>()
          placed.set(placement.device, of.set(name, placement))
        }
    for (const deviceId of asked) {
      const placements = placed.get(deviceId) ?? new Map<string, DeploymentDevice>()
      let settled = [...placements.values()].every(
        ({ artifact, state }) => artifact === null || state === 'ready' || state === 'failed'
      )
      for (const [deployment, { artifact, runtime }] of [...(this.#fleet.get(deviceId)?.ready ?? [])]) {
        const placement = placements.get(deployment)
        if (placement?.artifact === artifact && placement.runtime === runtime) continue
        this.#fleet.setReady(deviceId, deployment, null)
        settled = false
      }
      if (!settled && !this.#stopped) await this.sendDesired(deviceId)
    }
  }

  /** A device said something of an artifact of this deployment. */
  reported(deployment: string): void {
    void this.#updatePhase(deployment).catch(this.#failed)
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

  readonly #failed = (error: unknown): void =>
    this.#resources.log.error({ err: error }, 'a device could not be told what to load')
}
