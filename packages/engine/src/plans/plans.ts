import { setImmediate } from 'node:timers/promises'
import {
  type FieldProblem,
  MAX_PLANNED_DEVICES,
  type Plan,
  type PlannedDevice,
  type PlanReason,
  type PlanRequest,
  type Requirements,
  SkerryError
} from '@skerry/contracts'
import type { PlannableDevice } from '@skerry/registry'
import {
  chooseUnderRequirements,
  type OperatorSupport,
  type RankedVariants,
  rankVariants,
  type VersionCandidate
} from '@skerry/scheduler'
import type { EngineResources } from '../resources.ts'
import { PlanEvidence } from './evidence.ts'
import { summaryOf } from './summary.ts'

const REASONS = 8
/** Other requests are served after this many devices. */
const DEVICES_AT_ONCE = 500

/** What would run where, and why not, from what is known now. Nothing moves. */
export class Plans {
  readonly #resources: EngineResources
  readonly #support: OperatorSupport
  constructor(resources: EngineResources, support: OperatorSupport) {
    this.#resources = resources
    this.#support = support
  }

  /** @throws SkerryError `model-unknown` or `version-unknown`, with a pointer for each candidate that is not there */
  async plan({ candidates, requirements = {} }: PlanRequest): Promise<Plan> {
    const { registry, nowMs } = this.#resources
    const known = await this.#known(candidates)
    const ranked = rankVariants(known)
    const { matched, devices } = await registry.planReads.devices(requirements.selector ?? {}, MAX_PLANNED_DEVICES)
    const evidence = await PlanEvidence.read(registry, ranked.variants, devices, {
      nowMs: nowMs(),
      prefer: 'runs',
      support: this.#support
    })
    const planned: PlannedDevice[] = []
    for (const device of devices) {
      planned.push(planDevice(device, ranked, evidence, requirements))
      if (planned.length % DEVICES_AT_ONCE === 0) await setImmediate()
    }
    return { summary: summaryOf(planned, matched), comparedBy: ranked.comparedBy, matched, devices: planned }
  }

  async #known(candidates: PlanRequest['candidates']): Promise<VersionCandidate[]> {
    const { models } = this.#resources.registry
    const fields: FieldProblem[] = []
    const known: VersionCandidate[] = []
    let first: SkerryError | null = null
    for (const [at, { model, version }] of candidates.entries()) {
      try {
        await models.getVersion(model, version)
      } catch (error) {
        if (!(error instanceof SkerryError)) throw error
        first ??= error
        const field = error.code === 'model-unknown' ? 'model' : 'version'
        fields.push({ pointer: `/candidates/${at}/${field}`, detail: error.message })
        continue
      }
      // The same version twice is one candidate.
      if (known.some((each) => each.model === model && each.version === version)) continue
      known.push({ model, version, variants: await models.variants(model, version) })
    }
    if (first !== null) throw new SkerryError(first.code, fields.map(({ detail }) => detail).join('; '), { fields })
    return known
  }
}

function planDevice(
  device: PlannableDevice,
  ranked: RankedVariants,
  evidence: PlanEvidence,
  requirements: Requirements
): PlannedDevice {
  const { id, name, state } = device
  const base = { device: id, deviceName: name, state }
  if (!device.capabilities.includes('infer'))
    return nothing(base, [{ filter: 'capability', reason: 'it is not enrolled for inference' }])
  const free = device.memoryBytes - (device.memoryUsedBytes ?? 0)
  const choice = chooseUnderRequirements(ranked, evidence.of(device, free), requirements, 'refuse')
  if (choice.kind !== 'chosen') return nothing(base, choice.kind === 'none' ? choice.reasons : choice.passedOver)
  const { ranked: taken, runtime, latency, memory, agreement } = choice.option
  return {
    ...base,
    model: taken.model,
    version: taken.version,
    variant: taken.variant.variant,
    runtime: runtime.name,
    artifact: taken.artifact,
    latency,
    memory,
    accuracy: taken.accuracy,
    agreement,
    reasons: choice.passedOver.slice(0, REASONS)
  }
}

const nothing = (
  base: Pick<PlannedDevice, 'device' | 'deviceName' | 'state'>,
  reasons: readonly PlanReason[]
): PlannedDevice => ({
  ...base,
  model: null,
  version: null,
  variant: null,
  runtime: null,
  artifact: null,
  latency: null,
  memory: null,
  accuracy: null,
  agreement: null,
  reasons: reasons.slice(0, REASONS)
})
