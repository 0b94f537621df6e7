import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { measureOutput, signalToNoiseDb } from '../src/parity.ts'
import { map, output, varied } from './output-samples.ts'

describe('measures', () => {
  it('equal outputs have no error, an infinite SNR and full agreement', () => {
    fc.assert(
      fc.property(varied, (reference) => {
        const measure = measureOutput(
          reference,
          map(reference, (value) => value)
        )
        expect(measure.snrDb).toBe(Number.POSITIVE_INFINITY)
        expect(measure.maxAbsError).toBe(0)
        expect(measure.agreement ?? 1).toBe(1)
      })
    )
  })

  it('the SNR does not depend on the scale of the outputs', () => {
    fc.assert(
      fc.property(varied, fc.double({ min: 0.01, max: 100, noNaN: true }), (reference, scale) => {
        const candidate = map(reference, (value, at) => value + Math.sin(at + 1))
        const scaled = signalToNoiseDb(
          map(reference, (value) => value * scale),
          map(candidate, (value) => value * scale)
        )
        expect(scaled).toBeCloseTo(signalToNoiseDb(reference, candidate), 6)
      })
    )
  })

  it('a constant added to the original is no signal: the SNR stays', () => {
    fc.assert(
      // Of a signal so small that the offset swallows it, no float64 can tell the SNR.
      fc.property(varied, fc.double({ min: -100, max: 100, noNaN: true }), (small, offset) => {
        const largest = Math.max(...small.values.map(Math.abs))
        const reference = map(small, (value) => value / largest)
        const candidate = map(reference, (value, at) => value + Math.sin(at + 1))
        const moved = signalToNoiseDb(
          map(reference, (value) => value + offset),
          map(candidate, (value) => value + offset)
        )
        expect(moved).toBeCloseTo(signalToNoiseDb(reference, candidate), 4)
      })
    )
  })

  it('ten times the error costs 20 dB', () => {
    const reference = output([1, -2, 3, -4])
    const snr = (error: number) =>
      signalToNoiseDb(
        reference,
        map(reference, (value) => value + error)
      )
    expect(snr(0.01) - snr(0.1)).toBeCloseTo(20, 9)
    // var = 7.25 about the mean -.5, mse = .01
    expect(snr(0.1)).toBeCloseTo(10 * Math.log10(7.25 / 0.01), 9)
  })

  it("the mean that is removed is each element's own over the samples", () => {
    // Two elements far apart that hardly vary: the distance between them is no signal.
    const reference = output([0, 100, 1, 101], 2)
    const candidate = map(reference, (value) => value + 0.5)
    expect(signalToNoiseDb(reference, candidate)).toBeCloseTo(0, 9)
  })

  it('a decision near the threshold is not counted, a clear one is', () => {
    const reference = output([0.45, 0.55, 0.9, 0.1])
    expect(measureOutput(reference, output([0.55, 0.45, 0.8, 0.2])).agreement).toBe(1)
    expect(measureOutput(reference, output([0.45, 0.55, 0.2, 0.2])).agreement).toBe(0.5)
  })

  it('top-1 is compared along the last axis', () => {
    const reference = output([0.8, 0.2, 0, 0.1, 0.1, 0.8], 3)
    expect(measureOutput(reference, output([0.6, 0.4, 0, 0.1, 0.5, 0.4], 3)).agreement).toBe(0.5)
  })

  it('sizes that differ are an error, not a comparison', () => {
    expect(() => measureOutput(output([1, 2]), output([1]))).toThrow(RangeError)
  })
})
