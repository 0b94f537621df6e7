import { normal, seededRandom } from './random.ts'

/** contract.md: a run takes the table's time times a lognormal noise, and one in a hundred takes five times as long. */
export const NOISE_SIGMA = 0.15
export const OUTLIER_SHARE = 0.01
export const OUTLIER_FACTOR = 5

/** What a run takes beside the table's time. It depends on the pair, not on when it runs, so that policies meet the same. */
export function runNoise(sigma: number, seed: number, request: number, device: number): number {
  if (sigma === 0) return 1
  const random = seededRandom(
    Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(request + 1, 0x85ebca6b) ^ Math.imul(device, 0x27d4eb2f)
  )
  random()
  return Math.exp(sigma * normal(random)) * (random() < OUTLIER_SHARE ? OUTLIER_FACTOR : 1)
}

/** One of the lengths that a run has at least, as a multiple of the table's, with its probability. */
export type NoiseStep = { factor: number; share: number }

/**
 * The noise's law from below: its mass is cut at quantiles, and all of a piece is put on the piece's lower edge. What
 * holds for every run this long holds for all runs. The first step has the length zero.
 */
export function noiseSteps(sigma: number): NoiseStep[] {
  if (sigma === 0) return [{ factor: 1, share: 1 }]
  const usual = LOWER_EDGES.map(([z, share]) => ({
    factor: z === null ? 0 : Math.exp(sigma * z),
    share: share * (1 - OUTLIER_SHARE)
  }))
  const [, second] = usual
  return [...usual, { factor: OUTLIER_FACTOR * (second?.factor ?? 0), share: OUTLIER_SHARE }]
}

/** Standard normal quantiles (none: minus infinity) and the mass from each to the next. */
const LOWER_EDGES: readonly (readonly [number | null, number])[] = [
  [null, 0.001],
  [-3.0902, 0.019],
  [-2.0537, 0.08],
  [-1.2816, 0.2],
  [-0.5244, 0.2],
  [0, 0.2],
  [0.5244, 0.2],
  [1.2816, 0.08],
  [2.0537, 0.02]
]
