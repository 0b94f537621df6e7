import { describe, expect, it } from 'vitest'
import { gaussianFill, twoWayFill } from '../src/index.ts'

/** Standard normal and uniform draws from a fixed seed. */
function draws(seed: number) {
  let state = seed
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state + 0.5) / 2 ** 32
  }
  return { uniform, normal: () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()) }
}

const KINDS = 10
const ARTIFACTS = 60

/**
 * Two families of kinds, alike within, half of the cells hidden; a share of the artifacts behaves as it will on each kind
 * of device. Answers the errors of hidden cells of the usual artifacts, sorted, and how many were below the upper tenth.
 */
function errorsOf(seed: number, oddShare: number) {
  const { uniform, normal } = draws(seed)
  const truth = new Float64Array(KINDS * ARTIFACTS)
  const logMs = new Float64Array(KINDS * ARTIFACTS)
  const count = new Float64Array(KINDS * ARTIFACTS)
  const isOdd = Array.from({ length: ARTIFACTS }, () => uniform() < oddShare)
  for (let a = 0; a < ARTIFACTS; a++) {
    const [size, family] = [normal(), [0.6 * normal(), 0.6 * normal()]]
    for (let k = 0; k < KINDS; k++) {
      const cell = k * ARTIFACTS + a
      const own = isOdd[a] ? 2 * normal() : 0.05 * normal()
      truth[cell] = 3 + size + 0.1 * k + (family[k % 2] as number) + own
      logMs[cell] = truth[cell] as number
      count[cell] = uniform() < 0.5 ? 1 : 0
    }
  }
  const { mean, sd } = gaussianFill(logMs, count, KINDS, ARTIFACTS)
  const peer = twoWayFill(logMs, count, KINDS, ARTIFACTS)
  const hidden = [...truth.keys()].filter((cell) => count[cell] === 0 && !isOdd[cell % ARTIFACTS])
  const off = (from: Float64Array) =>
    hidden.map((cell) => Math.abs((from[cell] as number) - (truth[cell] as number))).sort((x, y) => x - y)
  const odd = [...truth.keys()].filter((cell) => count[cell] === 0 && isOdd[cell % ARTIFACTS])
  const spread = (cells: readonly number[]) => cells.reduce((sum, cell) => sum + (sd[cell] as number), 0) / cells.length
  const below = hidden.filter((cell) => (truth[cell] as number) < (mean[cell] as number) + 1.28 * (sd[cell] as number))
  return {
    ours: off(mean),
    twoWay: off(peer),
    sure: below.length / hidden.length,
    spread: spread(hidden),
    odd: spread(odd)
  }
}
const middle = (sorted: readonly number[]) => sorted[sorted.length >> 1] as number
const tenth = (sorted: readonly number[]) => sorted[Math.floor(sorted.length * 0.9)] as number

describe('the prediction of pairs that never ran', () => {
  it('learns which kinds are alike, beyond one factor each', () => {
    for (const seed of [1, 2, 3]) {
      const { ours, twoWay } = errorsOf(seed, 0)
      expect(tenth(ours)).toBeLessThan(0.5 * tenth(twoWay))
    }
  })

  it('is not taught by the few artifacts that behave like no other', () => {
    for (const seed of [1, 2, 3]) {
      const plain = errorsOf(seed, 0)
      const mixed = errorsOf(seed, 0.15)
      expect(middle(mixed.ours)).toBeLessThan(1.6 * middle(plain.ours))
    }
  })

  it('is as sure as it says, and less of those', () => {
    for (const seed of [1, 2, 3]) {
      const { sure, spread, odd } = errorsOf(seed, 0.15)
      expect(sure).toBeGreaterThan(0.9)
      expect(odd).toBeGreaterThan(2 * spread)
    }
  })
})
