import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Histogram, merge, RELATIVE_ERROR, SCALE } from '../src/index.ts'

const durationMs = fc.oneof(
  fc.double({ min: 1e-5, max: 1e7, noNaN: true }),
  fc.integer({ min: -16, max: 30 }).map((exponent) => 2 ** exponent),
  fc.constant(0)
)
const durations = fc.array(durationMs, { minLength: 1, maxLength: 200 })

function histogramOf(values: number[]): Histogram {
  const histogram = new Histogram()
  for (const value of values) histogram.record(value)
  return histogram
}

function exactQuantile(values: number[], q: number): number {
  const rank = Math.max(1, Math.ceil(q * values.length))
  return [...values].sort((a, b) => a - b)[rank - 1] ?? Number.NaN
}

describe('a quantile', () => {
  it('lies within the relative error of the value of its rank', () => {
    fc.assert(
      fc.property(durations, fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
        const exact = exactQuantile(values, q)
        const estimate = histogramOf(values).quantile(q) ?? Number.NaN
        expect(Math.abs(estimate - exact)).toBeLessThanOrEqual(exact * (RELATIVE_ERROR + 1e-12))
      })
    )
  })

  it('is about two percent exact', () => {
    expect(RELATIVE_ERROR).toBeGreaterThan(0.02)
    expect(RELATIVE_ERROR).toBeLessThan(0.022)
  })

  it('is null when nothing was recorded', () => {
    expect(new Histogram().quantile(0.5)).toBeNull()
  })

  it('is refused outside 0 to 1', () => {
    for (const q of [-0.1, 1.1, Number.NaN]) expect(() => new Histogram().quantile(q)).toThrow(/quantile/)
  })
})

describe('merge', () => {
  it('is what one histogram of all the values would be', () => {
    fc.assert(
      fc.property(durations, durations, (a, b) => {
        expect(merge(histogramOf(a), histogramOf(b)).toJSON()).toEqual(histogramOf([...a, ...b]).toJSON())
      })
    )
  })

  it('does not care about order or grouping', () => {
    fc.assert(
      fc.property(durations, durations, durations, (x, y, z) => {
        const [a, b, c] = [histogramOf(x), histogramOf(y), histogramOf(z)]
        expect(merge(a, b).toJSON()).toEqual(merge(b, a).toJSON())
        expect(merge(merge(a, b), c).toJSON()).toEqual(merge(a, merge(b, c)).toJSON())
        expect(Histogram.merge(a, b, c).toJSON()).toEqual(merge(merge(a, b), c).toJSON())
      })
    )
  })

  it('leaves its parts as they were', () => {
    const [a, b] = [histogramOf([1]), histogramOf([1, 2])]
    merge(a, b).record(3)
    expect([a.count, b.count]).toEqual([1, 2])
  })
})

describe('recording', () => {
  it('refuses what is not a duration', () => {
    for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => new Histogram().record(value)).toThrowError(expect.objectContaining({ code: 'histogram-value' }))
    }
  })

  it('keeps extremes finite', () => {
    const histogram = histogramOf([5e-324, Number.MAX_VALUE])
    expect(histogram.quantile(0)).toBe(0)
    expect(histogram.quantile(1)).toBeLessThan(2 ** 41)
  })
})

describe('JSON', () => {
  it('comes back as it went', () => {
    fc.assert(
      fc.property(fc.array(durationMs, { maxLength: 50 }), (values) => {
        const histogram = histogramOf(values)
        const back = Histogram.fromJSON(JSON.parse(JSON.stringify(histogram)))
        expect(back.toJSON()).toEqual(histogram.toJSON())
        expect(back.count).toBe(values.length)
      })
    )
  })

  const good = { scale: SCALE, zeroCount: 0, buckets: [[0, 1]] }
  it.each([
    ['nothing', null],
    ['another scale', { ...good, scale: SCALE + 1 }],
    ['a negative count', { ...good, buckets: [[0, -1]] }],
    ['a count of zero', { ...good, buckets: [[0, 0]] }],
    ['a broken count', { ...good, zeroCount: 0.5 }],
    ['an index out of range', { ...good, buckets: [[100_000, 1]] }],
    [
      'an index twice',
      {
        ...good,
        buckets: [
          [0, 1],
          [0, 1]
        ]
      }
    ],
    [
      'indexes that descend',
      {
        ...good,
        buckets: [
          [1, 1],
          [0, 1]
        ]
      }
    ],
    ['buckets that are no pairs', { ...good, buckets: [[0]] }],
    ['more than can be counted', { ...good, zeroCount: Number.MAX_SAFE_INTEGER }]
  ])('is refused with %s', (_, json) => {
    expect(() => Histogram.fromJSON(json)).toThrowError(expect.objectContaining({ code: 'histogram-invalid' }))
    expect(Histogram.fromJSON(good).count).toBe(1)
  })
})
