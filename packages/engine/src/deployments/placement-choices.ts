import type { Variant } from '@skerry/contracts'
import type { DeploymentTerms, DeviceRecord, MeasuredPair, PlacementWrite } from '@skerry/registry'
import { chooseVariant, type OperatorSupport, type VariantCandidate, type VariantChoice } from '@skerry/scheduler'
import type { Benchmarks, Timings } from './benchmarks.ts'
import type { RequirementPlacement } from './requirement-placement.ts'

/** The newest medians of some artifacts on some devices. */
export class Measured {
  readonly #p50Ms: ReadonlyMap<string, number>

  constructor(pairs: readonly MeasuredPair[]) {
    this.#p50Ms = new Map(
      pairs.map(({ deviceId, artifact, runtime, p50Ms }) => [pairKey(deviceId, artifact, runtime), p50Ms])
    )
  }

  p50Ms(deviceId: string, artifact: string, runtime: string): number | undefined {
    return this.#p50Ms.get(pairKey(deviceId, artifact, runtime))
  }
}

/** Which variant of a deployment goes to a device; what has to be timed there first is asked for. */
export class PlacementChoices {
  readonly #benchmarks: Benchmarks
  readonly #support: OperatorSupport

  constructor(benchmarks: Benchmarks, support: OperatorSupport) {
    this.#benchmarks = benchmarks
    this.#support = support
  }

  /** One decision for each of the devices. A candidate whose benchmark failed there is out, by `timings`. */
  async of(
    deployment: DeploymentTerms,
    variants: readonly Variant[],
    devices: readonly DeviceRecord[],
    timings: Timings,
    by: { required: RequirementPlacement } | { measured: Measured }
  ): Promise<PlacementWrite[]> {
    const wanted: { deviceId: string; candidates: VariantCandidate[] }[] = []
    const writes = devices.map((device) => {
      const failure = (artifact: string, runtime: string) => timings.failure(device.id, artifact, runtime)
      const choice =
        'required' in by
          ? by.required.choose(device.id, failure)
          : this.#choose(deployment, device, variants, by.measured, failure)
      if (choice.kind === 'measure') wanted.push({ deviceId: device.id, candidates: choice.candidates })
      return writeOf(deployment.name, device, choice, 'required' in by)
    })
    await this.#benchmarks.request(deployment, variants, wanted, timings)
    return writes
  }

  #choose(
    deployment: DeploymentTerms,
    device: DeviceRecord,
    variants: readonly Variant[],
    measured: Measured,
    failure: (artifact: string, runtime: string) => string | undefined
  ): VariantChoice {
    return chooseVariant({
      variants,
      allowed: deployment.variants === 'auto' ? [] : deployment.variants,
      allowUnproven: deployment.allowUnproven,
      runtimes: device.facts.runtimes,
      support: this.#support,
      p50Ms: (artifact, runtime) => measured.p50Ms(device.id, artifact, runtime),
      failure
    })
  }
}

function writeOf(
  name: string,
  device: DeviceRecord,
  choice: VariantChoice,
  underRequirements: boolean
): PlacementWrite {
  const empty = { deployment: name, deviceId: device.id, variant: null, artifact: null, runtime: null }
  if (choice.kind === 'ineligible') return { ...empty, state: 'ineligible', reason: choice.reason }
  if (choice.kind === 'measure') {
    const names = choice.candidates.map((candidate) => candidate.variant).join(', ')
    const which = underRequirements ? 'variants that may meet the requirements' : 'equally accurate variants'
    const reason = device.connected
      ? `${which} are being timed on this device: ${names}`
      : `the device is offline; ${names} have to be timed on it first`
    return { ...empty, state: 'pending', reason }
  }
  const { variant, artifact, runtime } = choice.candidate
  const { measured, passedOver } = choice
  const chosen = { variant, artifact, runtime: runtime.name, measured, passedOver }
  return { ...empty, ...chosen, state: 'pending', reason: null }
}

const pairKey = (deviceId: string, artifact: string, runtime: string): string => `${deviceId} ${artifact} ${runtime}`
