/*
 * What an output decides, and how clearly.
 */

import type { OutputSamples } from './parity.ts'

/**
 * How an output decides: one unit against a threshold of .5, the largest along the last axis, or the whole number that
 * it is. Undefined for outputs that decide nothing, such as boxes, or one unit outside 0..1.
 */
export type DecisionKind = 'threshold' | 'top-1' | 'equal'

/** Of the row that starts at `at`; -1 where a value is NaN. */
export type Decide = (values: ArrayLike<number>, at: number) => number

// Softmax in float16 sums to 1 within about this.
const sumTolerance = 0.02

/**
 * Rows of the last axis are scores of classes where the sample has one row (whose largest says something even of
 * logits), or where every row sums to 1: among the coordinates of a thousand boxes the largest decides nothing.
 */
export function decisionKind({ values, elements, lastAxis, integers }: OutputSamples): DecisionKind | undefined {
  if (integers === true) return 'equal'
  if (lastAxis > 1) return elements === lastAxis || rowsSumToOne(values, lastAxis) ? 'top-1' : undefined
  if (elements !== 1) return undefined
  for (let at = 0; at < values.length; at++) {
    const value = values[at] as number
    if (value < 0 || value > 1) return undefined
  }
  return 'threshold'
}

function rowsSumToOne(values: ArrayLike<number>, width: number): boolean {
  for (let at = 0; at < values.length; at += width) {
    let sum = 0
    for (let place = 0; place < width; place++) {
      const value = values[at + place] as number
      if (value < 0 || value > 1) return false
      sum += value
    }
    if (Math.abs(sum - 1) > sumTolerance) return false
  }
  return true
}

export function decideAt(kind: DecisionKind, width: number): Decide {
  if (kind === 'equal') return (values, at) => nanIsNone(values[at] as number, values[at] as number)
  if (kind === 'threshold')
    return (values, at) => nanIsNone(values[at] as number, Number((values[at] as number) >= 0.5))
  return (values, at) => {
    let best = 0
    for (let place = 0; place < width; place++) {
      const value = values[at + place] as number
      if (Number.isNaN(value)) return -1
      if (value > (values[at + best] as number)) best = place
    }
    return best
  }
}

const nanIsNone = (value: number, decision: number): number => (Number.isNaN(value) ? -1 : decision)

/** The decisions of every row: a class, 0 and 1 for one unit, or the number itself; NaN gives -1. */
export function decisionsOf({ values, lastAxis }: OutputSamples, kind: DecisionKind): Float64Array {
  const step = kind === 'top-1' ? lastAxis : 1
  const decide = decideAt(kind, lastAxis)
  return Float64Array.from({ length: values.length / step }, (_, row) => decide(values, row * step))
}

// A segmentation model asks for a row per pixel.
const lastTwo = new Float64Array(2)

/** How far the largest of a row leads the one that is `place` places behind it; for one unit, the distance from .5. */
export function marginAt(
  kind: DecisionKind,
  values: ArrayLike<number>,
  at: number,
  width: number,
  place: number
): number {
  if (kind !== 'top-1') return Math.abs((values[at] as number) - 0.5)
  const largest = place === 1 ? lastTwo : new Float64Array(place + 1)
  largest.fill(Number.NEGATIVE_INFINITY)
  for (let each = 0; each < width; each++) {
    let value = values[at + each] as number
    for (let rank = 0; rank <= place; rank++) {
      const held = largest[rank] as number
      if (!(value > held)) continue
      largest[rank] = value
      value = held
    }
  }
  return (largest[0] as number) - (largest[place] as number)
}

/** How many of a row come before the element `index`: larger, or equal and earlier. NaN comes after nothing. */
export function rankAt(values: ArrayLike<number>, at: number, width: number, index: number): number {
  const own = values[at + index] as number
  if (Number.isNaN(own)) return width
  let rank = 0
  for (let each = 0; each < width; each++) {
    const value = values[at + each] as number
    if (value > own || (value === own && each < index)) rank++
  }
  return rank
}
