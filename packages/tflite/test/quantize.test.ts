import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { dequantize, type QuantizedArray, type QuantizedDtype, quantize } from '../src/index.ts'

const ranges: [QuantizedDtype, number, number][] = [
  ['int8', -128, 127],
  ['uint8', 0, 255],
  ['int16', -32768, 32767]
]

const arrays = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array }

// Scales are float32 in the file.
const scale = fc.float({ min: Math.fround(1e-6), max: 1e3, noNaN: true, minExcluded: true })
const reals = fc.array(fc.float({ noNaN: true }), { maxLength: 64 }).map((values) => Float32Array.from(values))

describe('quantize', () => {
  it('gives back each stored value that was dequantized', () => {
    fc.assert(
      fc.property(fc.constantFrom(...ranges), scale, fc.double({ min: 0, max: 1, noNaN: true }), (range, s, at) => {
        const [dtype, low, high] = range
        const q = { scales: [s], zeroPoints: [Math.round(low + at * (high - low))], axis: 0 }
        const array: new (length: number) => QuantizedArray = arrays[dtype]
        const step = dtype === 'int16' ? 97 : 1
        const count = Math.floor((high - low) / step) + 1
        const stored = new array(count).map((_, index) => low + index * step)
        expect(quantize(dequantize(stored, q), q, dtype)).toEqual(stored)
      })
    )
  })

  it('is off by at most half a step inside the range, and clips outside it', () => {
    fc.assert(
      fc.property(fc.constantFrom(...ranges), scale, reals, ([dtype, low, high], s, values) => {
        const q = { scales: [s], zeroPoints: [low], axis: 0 }
        const stored = quantize(values, q, dtype)
        for (const [index, value] of values.entries()) {
          const exact = value / s + low
          if (exact <= low) expect(stored[index]).toBe(low)
          else if (exact >= high) expect(stored[index]).toBe(high)
          else expect(Math.abs((stored[index] ?? Number.NaN) - exact)).toBeLessThanOrEqual(0.5)
        }
      })
    )
  })

  it('never orders two values the other way round', () => {
    fc.assert(
      fc.property(scale, reals, (s, values) => {
        const stored = quantize(values.toSorted(), { scales: [s], zeroPoints: [3], axis: 0 }, 'int8')
        expect(stored).toEqual(stored.toSorted())
      })
    )
  })

  it('rounds halves to the even step, as the kernels do', () => {
    const q = { scales: [1], zeroPoints: [0], axis: 0 }
    const halves = Float32Array.of(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)
    expect([...quantize(halves, q, 'int8')]).toEqual([-2, -2, 0, 0, 2, 2])
    // The zero point is added after rounding, so it does not decide which of two halves is even.
    expect([...quantize(halves, { ...q, zeroPoints: [1] }, 'int8')]).toEqual([-1, -1, 1, 1, 3, 3])
  })

  it('clips infinities and refuses NaN', () => {
    const q = { scales: [0.5], zeroPoints: [-1], axis: 0 }
    expect([...quantize(Float32Array.of(Infinity, -Infinity), q, 'int8')]).toEqual([127, -128])
    expect(() => quantize(Float32Array.of(0, NaN), q, 'int8')).toThrow(
      expect.objectContaining({ code: 'not-a-number' })
    )
  })

  it('refuses parameters that are not of a whole tensor', () => {
    const q = { scales: [1, 2], zeroPoints: [0, 0], axis: 3 }
    expect(() => quantize(Float32Array.of(1), q, 'int8')).toThrow(expect.objectContaining({ code: 'per-channel' }))
    expect(() => dequantize(Int8Array.of(1), { scales: [0], zeroPoints: [0], axis: 0 })).toThrow(
      expect.objectContaining({ code: 'bad-scale' })
    )
  })
})
