import type { Bins, OutputPicture } from './types.ts'
import type { Comparison } from './verdict.ts'

const binCount = 40
const maxPairs = 500

/**
 * Histograms and pairs of every output, for the report: the reference's and the candidate's values in the same bins, so
 * that they can be drawn over each other, and the errors in bins about 0. NaN and infinite values are in none.
 */
export function drawOutputs(outputs: Comparison['outputs']): OutputPicture[] {
  return outputs.map(({ name, reference: { values: expected }, candidate: { values: actual } }) => {
    const [low, high] = rangeOf([expected, actual])
    let largestError = 0
    for (let at = 0; at < expected.length; at++) {
      const error = Math.abs((actual[at] as number) - (expected[at] as number))
      if (Number.isFinite(error) && error > largestError) largestError = error
    }
    return {
      name,
      reference: binsOf(expected.length, (at) => expected[at] as number, low, high),
      candidate: binsOf(actual.length, (at) => actual[at] as number, low, high),
      error: binsOf(
        expected.length,
        (at) => (actual[at] as number) - (expected[at] as number),
        -largestError,
        largestError
      ),
      pairs: pairsOf(expected, actual)
    }
  })
}

function rangeOf(arrays: readonly ArrayLike<number>[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const values of arrays) {
    for (let at = 0; at < values.length; at++) {
      const value = values[at] as number
      if (!Number.isFinite(value)) continue
      if (value < low) low = value
      if (value > high) high = value
    }
  }
  return low > high ? [0, 0] : [low, high]
}

function binsOf(length: number, valueAt: (at: number) => number, from: number, to: number): Bins {
  const counts = new Array<number>(binCount).fill(0)
  const width = (to - from) / binCount
  for (let at = 0; at < length; at++) {
    const value = valueAt(at)
    if (!Number.isFinite(value)) continue
    const bin = width > 0 ? Math.min(binCount - 1, Math.floor((value - from) / width)) : 0
    counts[bin] = (counts[bin] as number) + 1
  }
  return { from, to, counts }
}

function pairsOf(expected: ArrayLike<number>, actual: ArrayLike<number>): [number, number][] {
  const pairs: [number, number][] = []
  const count = Math.min(maxPairs, expected.length)
  for (let index = 0; index < count; index++) {
    const at = Math.floor((index * expected.length) / count)
    const pair: [number, number] = [expected[at] as number, actual[at] as number]
    if (pair.every(Number.isFinite)) pairs.push(pair)
  }
  return pairs
}
