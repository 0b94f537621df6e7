import type { Requirements, Variant } from '@skerry/contracts'
import type { DeploymentTerms, PlannableDevice, Registry } from '@skerry/registry'
import {
  chooseUnderRequirements,
  type DeviceEvidence,
  type OperatorSupport,
  type RankedVariants,
  rankVariants,
  type VariantChoice
} from '@skerry/scheduler'
import { PlanEvidence } from '../plans/evidence.ts'

/** Whether a deployment asks more of a variant than that it runs; a selector alone only names devices. */
export const asksMore = ({ maxLatencyMs, minAgreement, maxAccuracyDrop, maxMemoryBytes }: Requirements): boolean =>
  [maxLatencyMs, minAgreement, maxAccuracyDrop, maxMemoryBytes].some((limit) => limit !== undefined)

/**
 * A deployment's choice under its requirements, by what is known when it is read. Where a prediction cannot tell whether
 * a variant is fast enough, it is timed on the device before it is placed or refused. Unlike a plan, which tells of now,
 * it holds memory against all that the device has: memory in use comes and goes, and placements must not with it.
 */
export class RequirementPlacement {
  readonly #ranked: RankedVariants
  readonly #evidence: PlanEvidence
  readonly #devices: ReadonlyMap<string, PlannableDevice>
  readonly #requirements: Requirements

  private constructor(
    ranked: RankedVariants,
    evidence: PlanEvidence,
    devices: ReadonlyMap<string, PlannableDevice>,
    requirements: Requirements
  ) {
    this.#ranked = ranked
    this.#evidence = evidence
    this.#devices = devices
    this.#requirements = requirements
  }

  static async read(
    registry: Registry,
    deployment: DeploymentTerms,
    variants: readonly Variant[],
    options: { nowMs: number; support: OperatorSupport }
  ): Promise<RequirementPlacement> {
    const { model, version, allowUnproven, requirements } = deployment
    const allowed = deployment.variants === 'auto' ? [] : deployment.variants
    const ranked = rankVariants([{ model, version, variants }], { allowed, allowUnproven })
    const { devices } = await registry.planReads.devices(deployment.selector, null)
    const evidence = await PlanEvidence.read(registry, ranked.variants, devices, { ...options, prefer: 'benchmarks' })
    return new RequirementPlacement(ranked, evidence, new Map(devices.map((each) => [each.id, each])), requirements)
  }

  /** Whether it was there when what is known was read. */
  knows(deviceId: string): boolean {
    return this.#devices.has(deviceId)
  }

  choose(deviceId: string, failure: DeviceEvidence['failure']): VariantChoice {
    const device = this.#devices.get(deviceId)
    if (device === undefined) return { kind: 'ineligible', reason: 'its labels changed or it was revoked just now' }
    const known = this.#evidence.of(device, device.memoryBytes, failure)
    const choice = chooseUnderRequirements(this.#ranked, known, this.#requirements, 'measure')
    if (choice.kind === 'none') {
      const reasons = choice.reasons.map(({ variant, reason }) =>
        variant === undefined ? reason : `${variant}: ${reason}`
      )
      return { kind: 'ineligible', reason: reasons.join(' | ') }
    }
    const options = choice.kind === 'chosen' ? [choice.option] : choice.options
    const candidates = options.map(({ ranked, runtime }) => ({
      variant: ranked.variant.variant,
      artifact: ranked.artifact,
      runtime
    }))
    const candidate = candidates[0]
    if (choice.kind === 'measure' || candidate === undefined) return { kind: 'measure', candidates }
    const measured = choice.tied.flatMap(({ ranked, latency }) =>
      latency?.source === 'measured' ? [{ variant: ranked.variant.variant, p50Ms: latency.p50Ms }] : []
    )
    const passedOver = choice.passedOver.map(({ variant = '', reason }) => ({ variant, reason }))
    return { kind: 'chosen', candidate, measured, passedOver }
  }
}
