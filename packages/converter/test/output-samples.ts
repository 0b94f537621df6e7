import fc from 'fast-check'
import { isConstant, type OutputSamples, signalToNoiseDb } from '../src/parity.ts'
import { DEFAULT_TOLERANCES } from '../src/tolerances.ts'
import type { Tolerance } from '../src/types.ts'
import type { Comparison } from '../src/verdict.ts'

export type Samples = OutputSamples & { values: Float64Array }
export const output = (values: ArrayLike<number>, elements = 1, lastAxis = elements): Samples => ({
  elements,
  lastAxis,
  values: Float64Array.from(values)
})

// Steps of a thousandth: differences far below a double's own precision are nothing that a measure could keep.
export const real = fc.integer({ min: -100_000, max: 100_000 }).map((thousandths) => thousandths / 1000)
export const varied = fc
  .record({ elements: fc.integer({ min: 1, max: 5 }), samples: fc.integer({ min: 2, max: 30 }) })
  .chain(({ elements, samples }) =>
    fc
      .array(real, { minLength: elements * samples, maxLength: elements * samples })
      .map((values) => output(values, elements))
  )
  .filter(
    (each) =>
      !isConstant(each) &&
      signalToNoiseDb(
        each,
        output(
          each.values.map(() => 0),
          each.elements
        )
      ) > -60
  )

export const map = (from: Samples, change: (value: number, at: number) => number): Samples => ({
  ...from,
  values: from.values.map(change)
})

export const comparison = (
  reference: OutputSamples,
  candidate: OutputSamples,
  {
    tolerance = DEFAULT_TOLERANCES.full_int8,
    ...more
  }: Partial<Omit<Comparison, 'tolerance'>> & { tolerance?: Tolerance } = {}
): Comparison => ({
  reference: 'keras',
  data: 'uploaded',
  samples: reference.values.length / reference.elements,
  tolerance: () => tolerance,
  outputs: [{ name: 'out', reference, candidate }],
  ...more
})
