import { cholesky, choleskySolve } from './cholesky.ts'
import { twoWay } from './two-way.ts'

const ROUNDS = 25
/** Prior weight, in artifacts, of "kinds differ by one factor each" against what the measured rows say. */
const PRIOR_ROWS = 4
const NOISE_VARIANCE = 0.04

/**
 * Predicts the unmeasured cells of a table of log latencies (kinds x artifacts, row by row; `count` 0: unmeasured).
 *
 * An artifact's column is one draw of a multivariate normal over the kinds; its mean and covariance come from the
 * measured cells by expectation-maximization with a prior of common and own variance, and a cell from the normal's
 * condition on the cells of its column that were measured. Likeness between kinds is thereby learnt, where the two-way
 * model (kind + artifact) holds all kinds for equally alike. `sd` covers the prediction and one run's noise.
 */
export function gaussianFill(
  logMs: Float64Array,
  count: Float64Array,
  kinds: number,
  artifacts: number
): { mean: Float64Array; sd: Float64Array } {
  const { mu, covariance } = fitKinds(logMs, count, kinds, artifacts)
  const seen = measuredRows(count, kinds, artifacts)
  const mean = new Float64Array(kinds * artifacts)
  const sd = new Float64Array(kinds * artifacts)
  for (let a = 0; a < artifacts; a++) {
    const { expected, left } = condition(logMs, artifacts, a, seen[a] as number[], mu, covariance, kinds)
    for (let k = 0; k < kinds; k++) {
      mean[k * artifacts + a] = expected[k] as number
      sd[k * artifacts + a] = Math.sqrt(Math.max(left[k * kinds + k] as number, 0) + NOISE_VARIANCE)
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
  const mu = startingMeans(logMs, count, kinds, artifacts)
  const prior = startingVariance(logMs, mu, seen, artifacts)
  let covariance = new Float64Array(kinds * kinds)
  for (let i = 0; i < kinds; i++)
    for (let j = 0; j < kinds; j++) covariance[i * kinds + j] = i === j ? prior : prior * 0.85
  const start = Float64Array.from(covariance)
  const columns = seen.filter((rows) => rows.length > 0).length
  for (let round = 0; round < rounds && columns > 0; round++) {
    const sum = new Float64Array(kinds * kinds)
    const shift = new Float64Array(kinds)
    for (let a = 0; a < artifacts; a++) {
      const rows = seen[a] as number[]
      if (rows.length === 0) continue
      const { expected, left } = condition(logMs, artifacts, a, rows, mu, covariance, kinds)
      for (let i = 0; i < kinds; i++) {
        const di = (expected[i] as number) - (mu[i] as number)
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
    for (let k = 0; k < kinds; k++) mu[k] = (mu[k] as number) + (shift[k] as number) / (columns + PRIOR_ROWS)
    covariance = next
  }
  return { mu, covariance }
}

export type KindFit = { mu: Float64Array; covariance: Float64Array }

const measuredRows = (count: Float64Array, kinds: number, artifacts: number): number[][] =>
  Array.from({ length: artifacts }, (_, a) => {
    const rows: number[] = []
    for (let k = 0; k < kinds; k++) if ((count[k * artifacts + a] as number) > 0) rows.push(k)
    return rows
  })

/** One column of the table by kind, given its measured cells (`rows`); one value a kind. */
export function fillColumn(
  { mu, covariance }: KindFit,
  logMs: Float64Array,
  rows: readonly number[]
): { mean: Float64Array; sd: Float64Array } {
  const kinds = mu.length
  const { expected, left } = condition(logMs, 1, 0, rows, mu, covariance, kinds)
  const sd = Float64Array.from(mu, (_, k) => Math.sqrt(Math.max(left[k * kinds + k] as number, 0) + NOISE_VARIANCE))
  return { mean: expected, sd }
}

/** Mean and covariance of a whole column, given its measured cells. */
function condition(
  logMs: Float64Array,
  artifacts: number,
  artifact: number,
  rows: readonly number[],
  mu: Float64Array,
  covariance: Float64Array,
  kinds: number
): { expected: Float64Array; left: Float64Array } {
  const n = rows.length
  const expected = Float64Array.from(mu)
  const left = Float64Array.from(covariance)
  if (n === 0) return { expected, left }
  const block = new Float64Array(n * n)
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++)
      block[i * n + j] =
        (covariance[(rows[i] as number) * kinds + (rows[j] as number)] as number) + (i === j ? NOISE_VARIANCE : 0)
  const factor = cholesky(block, n)
  const residual = new Float64Array(n)
  rows.forEach((k, i) => {
    residual[i] = (logMs[k * artifacts + artifact] as number) - (mu[k] as number)
  })
  const weights = choleskySolve(factor, residual, n)
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
  return { expected, left }
}

/** Kind means that do not depend on which artifacts a kind happened to run. */
function startingMeans(logMs: Float64Array, count: Float64Array, kinds: number, artifacts: number): Float64Array {
  const { kindEffect, artifactEffect } = twoWay(logMs, count, kinds, artifacts)
  const grand = artifactEffect.reduce((sum, each) => sum + each, 0) / Math.max(1, artifacts)
  return kindEffect.map((effect) => effect + grand)
}

function startingVariance(logMs: Float64Array, mu: Float64Array, seen: readonly number[][], artifacts: number): number {
  let sum = 0
  let cells = 0
  seen.forEach((rows, a) => {
    for (const k of rows) {
      sum += ((logMs[k * artifacts + a] as number) - (mu[k] as number)) ** 2
      cells += 1
    }
  })
  return cells === 0 ? 1 : Math.max(sum / cells, NOISE_VARIANCE)
}
