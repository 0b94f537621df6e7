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
/** `size` and `alone`: deviations of the artifacts, and of what only a family of kinds shares. */
const USUAL = { artifacts: 60, size: 1, alone: 0.6, shown: 0.5 }

/**
 * Two families of kinds, alike within, and cells of which some are hidden; a share of the artifacts behaves as it will on
 * each kind of device. Answers the errors of hidden cells of the usual artifacts, sorted, and how many were below the upper
 * tenth.
 */
function errorsOf(seed: number, oddShare: number, { artifacts, size, alone, shown } = USUAL) {
  const { uniform, normal } = draws(seed)
  const truth = new Float64Array(KINDS * artifacts)
  const logMs = new Float64Array(KINDS * artifacts)
  const count = new Float64Array(KINDS * artifacts)
  const isOdd = Array.from({ length: artifacts }, () => uniform() < oddShare)
  for (let a = 0; a < artifacts; a++) {
    const [own, family] = [size * normal(), [alone * normal(), alone * normal()]]
    for (let k = 0; k < KINDS; k++) {
      const cell = k * artifacts + a
      const apart = isOdd[a] ? 2 * normal() : 0.05 * normal()
      truth[cell] = 3 + own + 0.1 * k + (family[k % 2] as number) + apart
      logMs[cell] = truth[cell] as number
      count[cell] = uniform() < shown ? 1 : 0
    }
  }
  const { mean, sd } = gaussianFill(logMs, count, KINDS, artifacts)
  const peer = twoWayFill(logMs, count, KINDS, artifacts)
  const ran = new Set([...count.keys()].filter((cell) => count[cell] === 1).map((cell) => cell % artifacts))
  const isHidden = (cell: number) => count[cell] === 0 && ran.has(cell % artifacts)
  const hidden = [...truth.keys()].filter((cell) => isHidden(cell) && !isOdd[cell % artifacts])
  const off = (from: Float64Array) =>
    hidden.map((cell) => Math.abs((from[cell] as number) - (truth[cell] as number))).sort((x, y) => x - y)
  const odd = [...truth.keys()].filter((cell) => isHidden(cell) && isOdd[cell % artifacts])
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

  it('loses little where there is no more to learn than one factor each, few cells to learn it from and unlike artifacts', () => {
    const world = { artifacts: 20, size: 2.5, alone: 0, shown: 0.3 }
    const seeds = Array.from({ length: 20 }, (_, seed) => seed + 1)
    const errors = seeds.map((seed) => errorsOf(seed, 0, world))
    const mean = (all: number[]) => all.reduce((sum, each) => sum + each, 0) / seeds.length
    expect(mean(errors.map(({ ours, twoWay }) => tenth(ours) / tenth(twoWay)))).toBeLessThan(1.1)
    expect(mean(errors.map(({ spread }) => spread))).toBeLessThan(0.5)
    for (const { sure } of errors) expect(sure).toBeGreaterThan(0.9)
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
