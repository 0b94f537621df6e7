import { cholesky, choleskySolve } from './cholesky.ts'
import { twoWay } from './two-way.ts'

const ROUNDS = 25
/** Prior weight, in artifacts, of "kinds differ by one factor each" against what the measured rows say. */
const PRIOR_ROWS = 2
/** How alike kinds are by it, until the cells tell; and in how many cells' weight. */
const PRIOR_CORRELATION = 0.95
const PRIOR_CELLS = 20
/** The median of a normal draw's distance from its mean, in deviations. */
const MEDIAN_DISTANCE = 0.6745
/** Of one run. */
const RUN_VARIANCE = 0.04
/** What a cell differs by from all that its column and the kinds tell, before it is learnt, and in how many cells' weight. */
const OWN_VARIANCE = 0.02
const OWN_CELLS = 20
/** Degrees of freedom: some artifacts (those that leave an accelerator) are unlike all others. */
const FREEDOM = 3

/**
 * Predicts the unmeasured cells of a table of log latencies (kinds x artifacts, row by row; `count` 0: unmeasured).
 *
 * An artifact's column is one draw of a multivariate normal over the kinds, spread by a scale of its own (a multivariate
 * t), so that the few artifacts which behave like no other do not teach how alike the kinds are for the rest. Mean,
 * covariance and each cell's own variance come from the measured cells by expectation-maximization with a prior of common
 * and own variance (Lange, Little and Taylor, "Robust statistical modeling using the t distribution", 1989), and a cell
 * from the condition on the cells of its column that were measured. Likeness between kinds is thereby learnt, where the
 * two-way model (kind + artifact) holds all kinds for equally alike. `sd` covers the prediction and one run's noise.
 */
export function gaussianFill(
  logMs: Float64Array,
  count: Float64Array,
  kinds: number,
  artifacts: number
): { mean: Float64Array; sd: Float64Array } {
  const fit = fitKinds(logMs, count, kinds, artifacts)
  const seen = measuredRows(count, kinds, artifacts)
  const mean = new Float64Array(kinds * artifacts)
  const sd = new Float64Array(kinds * artifacts)
  for (let a = 0; a < artifacts; a++) {
    const column = condition(logMs, artifacts, a, seen[a] as number[], fit)
    for (let k = 0; k < kinds; k++) {
      mean[k * artifacts + a] = column.expected[k] as number
      sd[k * artifacts + a] = sdOf(column, k, fit)
    }
  }
  return { mean, sd }
}

/** Mean and covariance of the kinds; `work` bounds the rounds, in multiplications, where an answer must come soon. */
export function fitKinds(
  logMs: Float64Array,
  count: Float64Array,
  kinds: number,
  artifacts: number,
  work = Number.POSITIVE_INFINITY
): KindFit {
  const seen = measuredRows(count, kinds, artifacts)
  const perRound = seen.reduce((sum, rows) => sum + kinds * kinds * rows.length, 0)
  const rounds = Math.min(ROUNDS, Math.floor(work / Math.max(1, perRound)))
  const { mu, variance, apart } = startingPoint(logMs, count, seen, kinds, artifacts)
  let covariance = new Float64Array(kinds * kinds)
  for (let i = 0; i < kinds; i++)
    for (let j = 0; j < kinds; j++) covariance[i * kinds + j] = i === j ? variance : variance - apart
  const start = Float64Array.from(covariance)
  const columns = seen.filter((rows) => rows.length > 0).length
  let ownVariance = OWN_VARIANCE
  for (let round = 0; round < rounds && columns > 0; round++) {
    const sum = new Float64Array(kinds * kinds)
    const shift = new Float64Array(kinds)
    let weights = 0
    let own = OWN_CELLS * OWN_VARIANCE
    let cells = OWN_CELLS
    for (let a = 0; a < artifacts; a++) {
      const rows = seen[a] as number[]
      if (rows.length === 0) continue
      const { expected, left, weight } = condition(logMs, artifacts, a, rows, { mu, covariance, ownVariance })
      weights += weight
      cells += rows.length
      for (const k of rows) {
        const off = (logMs[k * artifacts + a] as number) - (expected[k] as number)
        own += weight * off * off + (left[k * kinds + k] as number)
      }
      for (let i = 0; i < kinds; i++) {
        const di = weight * ((expected[i] as number) - (mu[i] as number))
        shift[i] = (shift[i] as number) + di
        for (let j = 0; j < kinds; j++)
          sum[i * kinds + j] =
            (sum[i * kinds + j] as number) +
            di * ((expected[j] as number) - (mu[j] as number)) +
            (left[i * kinds + j] as number)
      }
    }
    const next = new Float64Array(kinds * kinds)
    for (let c = 0; c < next.length; c++)
      next[c] = ((sum[c] as number) + PRIOR_ROWS * (start[c] as number)) / (columns + PRIOR_ROWS)
    for (let k = 0; k < kinds; k++) mu[k] = (mu[k] as number) + (shift[k] as number) / (weights + PRIOR_ROWS)
    covariance = next
    ownVariance = own / cells
  }
  return { mu, covariance, ownVariance }
}

export type KindFit = { mu: Float64Array; covariance: Float64Array; ownVariance: number }

const measuredRows = (count: Float64Array, kinds: number, artifacts: number): number[][] =>
  Array.from({ length: artifacts }, (_, a) => {
    const rows: number[] = []
    for (let k = 0; k < kinds; k++) if ((count[k * artifacts + a] as number) > 0) rows.push(k)
    return rows
  })

/** One column of the table by kind, given its measured cells (`rows`); one value a kind. */
export function fillColumn(
  fit: KindFit,
  logMs: Float64Array,
  rows: readonly number[]
): { mean: Float64Array; sd: Float64Array } {
  const column = condition(logMs, 1, 0, rows, fit)
  return { mean: column.expected, sd: Float64Array.from(fit.mu, (_, k) => sdOf(column, k, fit)) }
}

type Column = { expected: Float64Array; left: Float64Array; weight: number; freedom: number }

/** Of a cell and a run of it: the t's variance, which is wider the less usual the column is. */
function sdOf({ left, weight, freedom }: Column, kind: number, { mu, ownVariance }: KindFit): number {
  const scale = freedom / (freedom - 2) / weight
  return Math.sqrt(scale * (Math.max(left[kind * mu.length + kind] as number, 0) + ownVariance) + RUN_VARIANCE)
}

/**
 * Mean and covariance of a whole column, given its measured cells, and its weight: below 1 for one unlike all others. The
 * covariance is the normal's, for a weight of 1.
 */
function condition(
  logMs: Float64Array,
  artifacts: number,
  artifact: number,
  rows: readonly number[],
  { mu, covariance, ownVariance }: KindFit
): Column {
  const kinds = mu.length
  const n = rows.length
  const freedom = FREEDOM + n
  const expected = Float64Array.from(mu)
  const left = Float64Array.from(covariance)
  if (n === 0) return { expected, left, weight: 1, freedom }
  const block = new Float64Array(n * n)
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      block[i * n + j] =
        (covariance[(rows[i] as number) * kinds + (rows[j] as number)] as number) + (i === j ? ownVariance : 0)
  const factor = cholesky(block, n)
  const residual = new Float64Array(n)
  rows.forEach((k, i) => {
    residual[i] = (logMs[k * artifacts + artifact] as number) - (mu[k] as number)
  })
  const weights = choleskySolve(factor, residual, n)
  const distance = residual.reduce((sum, off, i) => sum + off * (weights[i] as number), 0)
  const cross = new Float64Array(n)
  for (let k = 0; k < kinds; k++) {
    for (let i = 0; i < n; i++) cross[i] = covariance[k * kinds + (rows[i] as number)] as number
    let gain = 0
    for (let i = 0; i < n; i++) gain += (cross[i] as number) * (weights[i] as number)
    expected[k] = (mu[k] as number) + gain
    const solved = choleskySolve(factor, cross, n)
    for (let j = 0; j < kinds; j++) {
      let explained = 0
      for (let i = 0; i < n; i++)
        explained += (solved[i] as number) * (covariance[j * kinds + (rows[i] as number)] as number)
      left[k * kinds + j] = (left[k * kinds + j] as number) - explained
    }
  }
  return { expected, left, weight: freedom / (FREEDOM + distance), freedom }
}

/**
 * Kind means that do not depend on which artifacts a kind happened to run, the variance about them, and how much of it
 * kinds do not share: what the two-way model leaves in the usual cell, for the parameters that it took from them.
 */
function startingPoint(
  logMs: Float64Array,
  count: Float64Array,
  seen: readonly number[][],
  kinds: number,
  artifacts: number
): { mu: Float64Array; variance: number; apart: number } {
  const { kindEffect, artifactEffect } = twoWay(logMs, count, kinds, artifacts)
  const grand = artifactEffect.reduce((sum, each) => sum + each, 0) / Math.max(1, artifacts)
  const mu = kindEffect.map((effect) => effect + grand)
  const kindsThatRan = new Set(seen.flat())
  const distances: number[] = []
  let sum = 0
  seen.forEach((rows, a) => {
    for (const k of rows) {
      const own = (logMs[k * artifacts + a] as number) - (kindEffect[k] as number)
      sum += (own - grand) ** 2
      distances.push(Math.abs(own - (artifactEffect[a] as number)))
    }
  })
  const cells = distances.length
  const variance = cells === 0 ? 1 : Math.max(sum / cells, RUN_VARIANCE)
  const columns = seen.filter((rows) => rows.length > 0).length
  const freedom = Math.max(0, cells - columns - kindsThatRan.size + 1)
  const usual = ((distances.sort((a, b) => a - b)[cells >> 1] ?? 0) / MEDIAN_DISTANCE) ** 2
  const apart = (cells * usual + PRIOR_CELLS * (1 - PRIOR_CORRELATION) * variance) / (freedom + PRIOR_CELLS)
  return { mu, variance, apart: Math.min(apart, variance / 2) }
}
