import type {
  PlanFilter,
  PlanReason,
  PredictedLatency,
  PredictedMemory,
  Requirements,
  RuntimeInfo
} from '@skerry/contracts'
import { optimisticMs } from './quantiles.ts'
import { agreementOf, type RankedVariant, type RankedVariants } from './rank-variants.ts'

/** What is known of one device. */
export type DeviceEvidence = {
  /** In the device's order of preference. */
  runtimes: readonly RuntimeInfo[]
  /** For what is not loaded there yet; null: not limited. */
  memoryAvailableBytes: number | null
  isLoaded: (artifact: string) => boolean
  /** Why a runtime cannot run its operators, or null. */
  support: (ranked: RankedVariant, runtime: RuntimeInfo) => string | null
  /** Why a benchmark of it failed there. */
  failure: (artifact: string, runtime: string) => string | undefined
  latency: (artifact: string, runtime: RuntimeInfo) => PredictedLatency | null
  memory: (ranked: RankedVariant, runtime: RuntimeInfo) => PredictedMemory | null
}

export type VariantOption = {
  ranked: RankedVariant
  runtime: RuntimeInfo
  latency: PredictedLatency | null
  memory: PredictedMemory | null
  agreement: number | null
}

export type RequirementChoice =
  /** `passedOver`: more accurate ones, and why not. */
  | { kind: 'chosen'; option: VariantOption; tied: VariantOption[]; passedOver: PlanReason[] }
  /** A benchmark has to tell whether these are fast enough here, or which of them is the faster. */
  | { kind: 'measure'; options: VariantOption[]; passedOver: PlanReason[] }
  | { kind: 'none'; reasons: PlanReason[] }

/** What a prediction that cannot tell leads to: `refuse` promises nothing, `measure` asks for a benchmark. */
export type WhenUnsure = 'refuse' | 'measure'

type Refusal = { kind: 'refused'; filter: PlanFilter; reason: string }
type Verdict = { kind: 'meets'; option: VariantOption } | { kind: 'unsure'; option: VariantOption } | Refusal

/** The further down, the closer a variant came. */
const STAGES: readonly PlanFilter[] = [
  'operators',
  'conversion',
  'benchmark',
  'agreement',
  'accuracy',
  'memory',
  'latency'
]
/** Shares are kept as decimal fractions: .98 - .97 is more than .01. */
const ROUNDING = 1e-9

/**
 * The most accurate variant that meets the requirements on this device; ties go to the lower p50, never to the smaller
 * file. Of a device's runtimes the first in its order that meets them all.
 */
export function chooseUnderRequirements(
  { variants, unusable }: RankedVariants,
  device: DeviceEvidence,
  requirements: Requirements,
  whenUnsure: WhenUnsure
): RequirementChoice {
  if (variants.length === 0) return { kind: 'none', reasons: [...unusable] }
  if (device.runtimes.length === 0)
    return { kind: 'none', reasons: [{ filter: 'runtime', reason: 'the device has no TFLite runtime' }] }
  const passedOver: PlanReason[] = []
  const tied: { option: VariantOption; isSure: boolean }[] = []
  for (const ranked of variants) {
    const best = tied[0]
    if (best !== undefined && ranked.rank > best.option.ranked.rank) break
    const found = judge(ranked, device, requirements, whenUnsure)
    if ('option' in found) tied.push({ option: found.option, isSure: found.kind === 'meets' })
    else passedOver.push({ ...nameOf(ranked), filter: found.filter, reason: found.reason })
  }
  if (tied.length === 0) return { kind: 'none', reasons: [...passedOver, ...unusable] }
  if (whenUnsure === 'measure') {
    const isMeasured = ({ latency }: VariantOption) => latency?.source === 'measured'
    const open = tied.filter(({ option, isSure }) => !isSure || (tied.length > 1 && !isMeasured(option)))
    if (open.length > 0) return { kind: 'measure', options: open.map(({ option }) => option), passedOver }
  }
  const options = tied.map(({ option }) => option).sort(byLatency)
  return { kind: 'chosen', option: options[0] as VariantOption, tied: options, passedOver }
}

const nameOf = ({ model, version, variant }: RankedVariant) => ({ model, version, variant: variant.variant })

// The sort is stable: equally fast ones keep the order of the candidates, then of their names.
const byLatency = (a: VariantOption, b: VariantOption): number => {
  const [one, other] = [a.latency?.p50Ms ?? Number.MAX_VALUE, b.latency?.p50Ms ?? Number.MAX_VALUE]
  return one - other
}

function judge(
  ranked: RankedVariant,
  device: DeviceEvidence,
  requirements: Requirements,
  whenUnsure: WhenUnsure
): Verdict {
  let closest: Refusal | null = null
  const reasons = new Set<string>()
  let unsure: VariantOption | null = null
  for (const runtime of device.runtimes) {
    const verdict = judgeOn(ranked, runtime, device, requirements)
    if (verdict.kind === 'meets') return verdict
    if (verdict.kind === 'unsure' && whenUnsure === 'measure') {
      unsure ??= verdict.option
      continue
    }
    const refusal = verdict.kind === 'unsure' ? tooUncertain(verdict.option.latency, requirements) : verdict
    reasons.add(refusal.reason)
    if (closest === null || STAGES.indexOf(refusal.filter) > STAGES.indexOf(closest.filter)) closest = refusal
  }
  if (unsure !== null) return { kind: 'unsure', option: unsure }
  return { kind: 'refused', filter: closest?.filter ?? 'runtime', reason: [...reasons].join('; ') }
}

function judgeOn(
  ranked: RankedVariant,
  runtime: RuntimeInfo,
  device: DeviceEvidence,
  { minAgreement, maxAccuracyDrop, maxMemoryBytes, maxLatencyMs }: Requirements
): Verdict {
  const { variant, artifact, accuracyDrop } = ranked
  const refuse = (filter: PlanFilter, reason: string): Verdict => ({ kind: 'refused', filter, reason })
  const missing = device.support(ranked, runtime)
  if (missing !== null) return refuse('operators', missing)
  const tried = variant.runtimes?.find(({ name, version }) => name === runtime.name && version === runtime.version)
  if (tried !== undefined && !tried.runnable)
    return refuse('conversion', tried.reason ?? `${runtime.name} refused it at conversion`)
  if (tried?.parity?.passed === false)
    return refuse('conversion', `its outputs on ${runtime.name} differ too much from the original's`)
  const failure = device.failure(artifact, runtime.name)
  if (failure !== undefined) return refuse('benchmark', failure)
  // What this runtime answered counts before what the converter's reference runtime did.
  const agreement = agreementOf(tried?.parity) ?? agreementOf(variant.parity)
  if (minAgreement !== undefined && minAgreement > 0) {
    if (agreement === null) return refuse('agreement', 'how far it agrees with its original is not known')
    if (agreement < minAgreement - ROUNDING)
      return refuse('agreement', `agreement ${share(agreement)}, required ${share(minAgreement)}`)
  }
  if (maxAccuracyDrop !== undefined && maxAccuracyDrop < 1) {
    if (accuracyDrop === null) return refuse('accuracy', 'it was not compared on labelled evaluation data')
    if (accuracyDrop > maxAccuracyDrop + ROUNDING)
      return refuse('accuracy', `accuracy drop ${share(accuracyDrop)}, allowed ${share(maxAccuracyDrop)}`)
  }
  const memory = device.memory(ranked, runtime)
  const tooMuch = tooMuchMemory(memory, artifact, device, maxMemoryBytes)
  if (tooMuch !== null) return refuse('memory', tooMuch)
  const latency = device.latency(artifact, runtime)
  const option = { ranked, runtime, latency, memory, agreement }
  if (maxLatencyMs === undefined) return { kind: 'meets', option }
  if (latency === null) return { kind: 'unsure', option }
  if (latency.p95Ms <= maxLatencyMs) return { kind: 'meets', option }
  if (latency.source === 'predicted' && optimisticMs(latency) <= maxLatencyMs) return { kind: 'unsure', option }
  return refuse('latency', `p95 ${latency.source} ${ms(latency.p95Ms)}, allowed ${ms(maxLatencyMs)}`)
}

function tooMuchMemory(
  memory: PredictedMemory | null,
  artifact: string,
  device: DeviceEvidence,
  maxMemoryBytes: number | undefined
): string | null {
  if (memory === null) return maxMemoryBytes === undefined ? null : 'how much memory it takes is not known'
  const { bytes, source } = memory
  if (maxMemoryBytes !== undefined && bytes > maxMemoryBytes)
    return `memory ${source} ${megabytes(bytes)}, allowed ${megabytes(maxMemoryBytes)}`
  const available = device.memoryAvailableBytes
  if (available === null || bytes <= available || device.isLoaded(artifact)) return null
  return `memory ${source} ${megabytes(bytes)}, available there ${megabytes(available)}`
}

function tooUncertain(latency: PredictedLatency | null, { maxLatencyMs = 0 }: Requirements): Refusal {
  const reason =
    latency === null
      ? 'its latency cannot be predicted: nothing was measured yet'
      : `p95 predicted ${ms(latency.p95Ms)} (p50 ${ms(latency.p50Ms)}), allowed ${ms(maxLatencyMs)}; a benchmark there would tell`
  return { kind: 'refused', filter: 'latency', reason }
}

const share = (value: number): string => String(Math.round(value * 1e4) / 1e4)
const ms = (value: number): string => `${Number(value.toPrecision(3))} ms`
const megabytes = (bytes: number): string => `${Number((bytes / 1e6).toPrecision(3))} MB`
