import { describe, expect, it } from 'vitest'
import type { NamedArray } from '../src/array.ts'
import type { OutputSamples } from '../src/parity.ts'
import { findStructuralFault, type StructureCheck } from '../src/structure.ts'

/** Two inputs of one shape, and outputs that tell them apart; samples 8 to 15 are 0 to 7 with the inputs exchanged. */
const count = 16
const level = (sample: number, input: number) => Math.sin(1.7 * sample + 3 * input + 1)
const valuesOf = (input: number) =>
  Float32Array.from({ length: count }, (_, sample) => level(sample % 8, sample < 8 ? input : 1 - input))
const input = (name: string, number: number): NamedArray => ({
  name,
  dtype: 'float32',
  shape: [count, 1],
  data: valuesOf(number)
})
const samples = [input('a', 0), input('b', 1)]
const answer = (compute: (a: number, b: number, sample: number) => number[]): OutputSamples => {
  const [a, b] = samples.map(({ data }) => data as Float32Array)
  const rows = Array.from({ length: count }, (_, at) => compute(a?.[at] ?? 0, b?.[at] ?? 0, at))
  return { elements: rows[0]?.length ?? 1, lastAxis: rows[0]?.length ?? 1, values: Float64Array.from(rows.flat()) }
}
const first = (a: number, b: number) => [Math.tanh(a) - 0.3 * b, a * b, b]
const second = (a: number, b: number) => [Math.cos(a), b - a, 0.5 * a * a]
const check = (
  variant: StructureCheck['variant'],
  one: Parameters<typeof answer>[0],
  other: Parameters<typeof answer>[0],
  step = 0
): string | undefined =>
  findStructuralFault({
    variant,
    samples,
    outputs: [
      { name: 'first', reference: answer(first), candidate: answer(one), step },
      { name: 'second', reference: answer(second), candidate: answer(other), step }
    ]
  })

/** Repeatable noise of about the outputs' own size: what is left of a good int8 variant on noise. */
const noisy = (compute: typeof first, seed: number) => (a: number, b: number, sample: number) =>
  compute(a, b).map((value, at) => value + 0.7 * Math.sin(91 * sample + 17 * at + seed))

describe('on generated inputs', () => {
  it('a quantized variant may err as much as the outputs vary, a float variant may not', () => {
    expect(check('full_int8', noisy(first, 1), noisy(second, 2))).toBeUndefined()
    expect(check('float16', noisy(first, 1), noisy(second, 2))).toMatch(/first: SNR .* another function/)
    expect(check('float32', first, second)).toBeUndefined()
  })

  it('a float variant may answer a few inputs otherwise, which rounding decides, and not most of them', () => {
    const flipped = (samples: number) => (a: number, b: number, at: number) =>
      first(a, b).map((value) => (at < samples ? 5 - value : value))
    expect(check('float32', flipped(4), second)).toBeUndefined()
    expect(check('float32', flipped(12), second)).toMatch(/first: SNR .* another function/)
  })

  it('exchanged outputs are found in any variant', () => {
    expect(check('full_int8', second, first)).toBe(
      'On generated inputs, first answers what the original answers in second: outputs or inputs are exchanged.'
    )
  })

  it('exchanged inputs are found in any variant', () => {
    const turned = (compute: typeof first) => (a: number, b: number) => compute(b, a)
    expect(check('dynamic_int8', turned(first), turned(second))).toBe(
      'On generated inputs, the inputs a and b are exchanged.'
    )
  })

  it('NaN is refused; one value for everything too, unless quantization flattens what hardly varies', () => {
    expect(check('full_int8', (a, b, at) => first(a, b).map((v) => (at === 5 ? Number.NaN : v)), second)).toMatch(/NaN/)
    expect(check('full_int8', () => [0.5, 0.5, 0.5], second)).toMatch(/the same for every generated input/)
    const faint: OutputSamples = {
      elements: 1,
      lastAxis: 1,
      values: Float64Array.from({ length: 16 }, (_, at) => 0.9 + at / 1e4)
    }
    const flat: OutputSamples = { ...faint, values: new Float64Array(16).fill(0.9) }
    const fault = (variant: StructureCheck['variant']) =>
      findStructuralFault({
        variant,
        samples,
        outputs: [{ name: 'out', reference: faint, candidate: flat, step: 1 / 256 }]
      })
    expect(fault('full_int8')).toBeUndefined()
    expect(fault('float32')).toMatch(/the same for every generated input/)
  })
})
