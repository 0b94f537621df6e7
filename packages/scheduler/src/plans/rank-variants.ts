import type { Parity, Plan, PlanReason, Variant } from '@skerry/contracts'
import { quality } from '../choose-variant.ts'

export type VersionCandidate = { model: string; version: string; variants: readonly Variant[] }

export type RankedVariant = {
  model: string
  version: string
  variant: Variant
  artifact: string
  /** 0 is the most accurate; equal numbers are equally accurate. */
  rank: number
  accuracy: number | null
  /** From the most accurate original among the candidates; null without labels. */
  accuracyDrop: number | null
}

export type RankedVariants = {
  comparedBy: Plan['comparedBy']
  /** The most accurate first. */
  variants: RankedVariant[]
  /** Candidates that have nothing to serve, and why. */
  unusable: PlanReason[]
}

export type RankOptions = {
  /** Names of variants; empty: any. */
  allowed?: readonly string[]
  allowUnproven?: boolean
}

/**
 * The variants that may be served, the most accurate first.
 *
 * What was measured on labels can be compared between models; agreement and SNR speak of a model's own original only.
 * So when all have labels, accuracy ranks them; when one model's have none, the order of the candidates does, and
 * `quality` within each.
 */
export function rankVariants(candidates: readonly VersionCandidate[], options: RankOptions = {}): RankedVariants {
  const { allowed = [], allowUnproven = false } = options
  const unusable: PlanReason[] = []
  const usable = candidates.flatMap(({ model, version, variants }, candidate) => {
    const found = variants.filter(
      (each) =>
        each.sha256 !== undefined &&
        (each.state === 'ready' || (allowUnproven && each.state === 'unproven')) &&
        (allowed.length === 0 || allowed.includes(each.variant))
    )
    if (found.length === 0) unusable.push({ model, version, filter: 'variants', reason: noneUsable(variants) })
    return found.map((variant) => ({ candidate, model, version, variant, accuracy: accuracyOf(variant) }))
  })
  const isLabelled = usable.length > 0 && usable.every(({ accuracy }) => accuracy !== null)
  const comparedBy = isLabelled ? 'accuracy' : candidates.length > 1 ? 'order' : 'agreement'
  const originals = usable.map(({ variant }) => variant.parity?.accuracy?.original ?? Number.NEGATIVE_INFINITY)
  const best = Math.max(...originals)
  const compare = (a: (typeof usable)[number], b: (typeof usable)[number]): number =>
    (comparedBy === 'order' ? a.candidate - b.candidate : 0) || descending(quality(a.variant), quality(b.variant))
  usable.sort((a, b) => compare(a, b) || a.candidate - b.candidate || (a.variant.variant < b.variant.variant ? -1 : 1))
  let rank = 0
  const ranked = usable.map((entry, at): RankedVariant => {
    const before = usable[at - 1]
    if (before !== undefined && compare(before, entry) !== 0) rank += 1
    const { model, version, variant, accuracy } = entry
    const accuracyDrop = accuracy === null ? null : best - accuracy
    return { model, version, variant, artifact: variant.sha256 as string, rank, accuracy, accuracyDrop }
  })
  return { comparedBy, variants: ranked, unusable }
}

/** Share of decisions that equal the original's, of the worst output that has decisions; null where none has. */
export function agreementOf(parity: Parity | undefined): number | null {
  const all = (parity?.outputs ?? []).flatMap(({ agreement }) => (typeof agreement === 'number' ? [agreement] : []))
  return all.length === 0 ? null : Math.min(...all)
}

// Infinities of the same sign are equal, which their difference does not say.
const descending = (a: number, b: number): number => (a === b ? 0 : a > b ? -1 : 1)

const accuracyOf = ({ state, parity }: Variant): number | null =>
  state === 'ready' ? (parity?.accuracy?.variant ?? null) : null

function noneUsable(variants: readonly Variant[]): string {
  if (variants.length === 0) return 'it has no variants yet: convert it first'
  return `no variant may be served (${variants.map(({ variant, state }) => `${variant} is ${state}`).join(', ')})`
}
