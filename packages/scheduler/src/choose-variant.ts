import type { Operator, RuntimeInfo, Variant } from '@skerry/contracts'

/** Says why a runtime cannot run these operators, in words; null when it can. */
export type OperatorSupport = (runtime: RuntimeInfo, operators: readonly Operator[]) => string | null

export type VariantCandidate = { variant: string; artifact: string; runtime: RuntimeInfo }
/** A variant that may be served but not here, and why. */
export type PassedOver = { variant: string; reason: string }
export type VariantChoice =
  | {
      kind: 'chosen'
      candidate: VariantCandidate
      measured: { variant: string; p50Ms: number }[]
      passedOver: PassedOver[]
    }
  /** Equally accurate here, and at least one of them was never timed on this device. */
  | { kind: 'measure'; candidates: VariantCandidate[] }
  | { kind: 'ineligible'; reason: string }

export type ChooseVariantInput = {
  variants: readonly Variant[]
  /** Empty: any variant. */
  allowed: readonly string[]
  allowUnproven: boolean
  /** The device's runtimes, in its order of preference. */
  runtimes: readonly RuntimeInfo[]
  support: OperatorSupport
  /** Newest p50 on this device by artifact and runtime name, `null` where a benchmark failed (with its reason). */
  p50Ms: (artifact: string, runtime: string) => number | null | undefined
  failure: (artifact: string, runtime: string) => string | undefined
}

/**
 * How right a variant is: its accuracy on the uploaded labels, else the share of decisions it shares with the original,
 * else (no decisions to count) its worst signal-to-noise ratio. Higher is better; unproven variants come last.
 */
export function quality(variant: Variant): number {
  const { parity } = variant
  if (variant.state !== 'ready' || parity === undefined) return Number.NEGATIVE_INFINITY
  if (parity.accuracy !== undefined) return parity.accuracy.variant
  const agreements = parity.outputs.map((output) => output.agreement).filter((a) => typeof a === 'number')
  if (agreements.length > 0) return Math.min(...agreements)
  // An SNR of null is an exact copy.
  return Math.min(...parity.outputs.map((output) => output.snrDb ?? Number.MAX_VALUE))
}

/** Why this variant may not run on this runtime, or null. */
function refusal(variant: Variant, runtime: RuntimeInfo, support: OperatorSupport): string | null {
  const missing = support(runtime, variant.operators ?? [])
  if (missing !== null) return missing
  const tried = variant.runtimes?.find((entry) => entry.name === runtime.name && entry.version === runtime.version)
  if (tried !== undefined && !tried.runnable) return tried.reason ?? `${runtime.name} refused it at conversion`
  if (tried?.parity?.passed === false) return `its outputs on ${runtime.name} differ too much from the original's`
  return null
}

/** Per device: the most accurate usable variant; ties go to the lower p50 measured there, never to the smaller file. */
export function chooseVariant(input: ChooseVariantInput): VariantChoice {
  const usable = input.variants.filter(
    (v) =>
      v.sha256 !== undefined &&
      (v.state === 'ready' || (input.allowUnproven && v.state === 'unproven')) &&
      (input.allowed.length === 0 || input.allowed.includes(v.variant))
  )
  if (usable.length === 0) return { kind: 'ineligible', reason: noneUsable(input) }

  const passedOver: PassedOver[] = []
  const runnable: { candidate: VariantCandidate; quality: number }[] = []
  for (const variant of usable) {
    const refusals: string[] = []
    for (const runtime of input.runtimes) {
      const artifact = variant.sha256 as string
      const why = refusal(variant, runtime, input.support) ?? input.failure(artifact, runtime.name) ?? null
      if (why === null) {
        runnable.push({ candidate: { variant: variant.variant, artifact, runtime }, quality: quality(variant) })
        refusals.length = 0
        break
      }
      refusals.push(why)
    }
    if (refusals.length > 0) passedOver.push({ variant: variant.variant, reason: refusals.join('; ') })
  }
  if (runnable.length === 0)
    return {
      kind: 'ineligible',
      reason:
        input.runtimes.length === 0
          ? 'the device has no TFLite runtime'
          : passedOver.map(({ variant, reason }) => `${variant}: ${reason}`).join(' | ')
    }

  const best = Math.max(...runnable.map((entry) => entry.quality))
  const tied = runnable.filter((entry) => entry.quality === best).map((entry) => entry.candidate)
  const timed = tied.map((candidate) => ({ candidate, p50Ms: input.p50Ms(candidate.artifact, candidate.runtime.name) }))
  const measured = timed.flatMap(({ candidate, p50Ms }) =>
    typeof p50Ms === 'number' ? [{ variant: candidate.variant, p50Ms }] : []
  )
  const only = tied[0]
  if (tied.length === 1 && only !== undefined) return { kind: 'chosen', candidate: only, measured, passedOver }
  if (measured.length < tied.length)
    return { kind: 'measure', candidates: timed.filter((t) => typeof t.p50Ms !== 'number').map((t) => t.candidate) }
  timed.sort((a, b) => (a.p50Ms ?? 0) - (b.p50Ms ?? 0) || (a.candidate.variant < b.candidate.variant ? -1 : 1))
  return { kind: 'chosen', candidate: (timed[0] as (typeof timed)[number]).candidate, measured, passedOver }
}

function noneUsable(input: ChooseVariantInput): string {
  const states = input.variants.map((v) => `${v.variant} is ${v.state}`)
  if (states.length === 0) return 'the version has no variants yet: convert it first'
  const unproven = input.variants.some((v) => v.state === 'unproven')
  return `no variant may be served (${states.join(', ')})${unproven ? '; allowUnproven would place the unproven ones' : ''}`
}
