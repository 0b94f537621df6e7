/*
 * Whether tensors of equal shape were exchanged, told from the answers to generated inputs. Quantization may leave
 * little of an answer to noise, but what is left resembles the right answer, not the one of another output.
 */

import type { NamedArray } from './array.ts'
import { rows } from './array.ts'
import type { OutputSamples } from './parity.ts'

export type AnsweredOutput = { name: string; reference: OutputSamples; candidate: OutputSamples; step: number }

// Correlations. Chosen, not measured one by one: no harmless variant of the mutation table's five models is refused by
// them, and every exchanged one of its one model with two inputs is. More such models may move them.
const exchanged = -0.8
const resembles = 0.8
// How much less of the variance the true counterpart leaves unexplained.
const decisive = 0.25
// A difference below this share of the output's magnitude is too small to tell by.
const minDifference = 0.02
const minPairs = 4
// Enough to tell two outputs apart, and little memory.
const maxElements = 1 << 14

/** Which output holds the values of which other: those that resemble it, and not what the original answers there. */
export function findSwappedOutputs(outputs: readonly AnsweredOutput[]): string | undefined {
  const signals = outputs.map(({ reference, candidate }) => ({
    reference: deviationsOf(reference),
    candidate: deviationsOf(candidate)
  }))
  for (const [i, one] of signals.entries()) {
    for (const [j, other] of signals.entries()) {
      if (i === j || outputs[i]?.reference.elements !== outputs[j]?.reference.elements) continue
      const across = correlation(one.candidate, other.reference)
      const ownMiss = 1 - correlation(one.candidate, one.reference)
      const otherMiss = 1 - correlation(other.candidate, other.reference)
      if (across > resembles && 1 - across < decisive * Math.min(ownMiss, otherMiss)) {
        return `${outputs[i]?.name} answers what the original answers in ${outputs[j]?.name}: outputs or inputs are exchanged`
      }
    }
  }
  return undefined
}

/**
 * Which two inputs are exchanged. Where two samples differ in nothing but that two inputs have each other's values, the
 * difference of their answers has the other sign when the inputs are exchanged.
 */
export function findSwappedInputs(
  samples: readonly NamedArray[],
  outputs: readonly AnsweredOutput[]
): string | undefined {
  for (const [i, one] of samples.entries()) {
    for (const other of samples.slice(i + 1)) {
      const pairs = exchangedSamples(samples, one, other)
      if (pairs.length < minPairs) continue
      for (const { reference, candidate, step } of outputs) {
        const expected = differencesOf(reference, pairs)
        const size = Math.sqrt(dot(expected, expected) / expected.length)
        if (!(size > Math.max(2 * step, minDifference * magnitudeOf(reference)))) continue
        if (correlation(differencesOf(candidate, pairs), expected) < exchanged) {
          return `the inputs ${one.name} and ${other.name} are exchanged`
        }
      }
    }
  }
  return undefined
}

/** Pairs of samples of which the second has `one` and `other` the other way round, and everything else the same. */
function exchangedSamples(samples: readonly NamedArray[], one: NamedArray, other: NamedArray): [number, number][] {
  const same = one.dtype === other.dtype && one.shape.join() === other.shape.join()
  const count = one.shape[0] ?? 0
  const pairs: [number, number][] = []
  if (!same) return pairs
  const rest = samples.filter((each) => each !== one && each !== other)
  for (let first = 0; first < count; first++) {
    for (let second = first + 1; second < count; second++) {
      if (!equalRows(one, first, other, second) || !equalRows(other, first, one, second)) continue
      if (equalRows(one, first, one, second)) continue
      if (rest.every((each) => equalRows(each, first, each, second))) pairs.push([first, second])
    }
  }
  return pairs
}

function equalRows(a: NamedArray, rowOfA: number, b: NamedArray, rowOfB: number): boolean {
  const left = rows(a, rowOfA, rowOfA + 1)
  const right = rows(b, rowOfB, rowOfB + 1)
  for (let at = 0; at < left.length; at++) if (left[at] !== right[at]) return false
  return true
}

/** Each kept element's distance from its mean over the samples. */
function deviationsOf({ values, elements }: OutputSamples): Float64Array {
  const samples = values.length / elements
  const kept = Math.min(elements, maxElements)
  const deviations = new Float64Array(samples * kept)
  for (let place = 0; place < kept; place++) {
    const element = Math.floor((place * elements) / kept)
    let mean = 0
    for (let sample = 0; sample < samples; sample++) mean += (values[sample * elements + element] as number) / samples
    for (let sample = 0; sample < samples; sample++) {
      deviations[sample * kept + place] = (values[sample * elements + element] as number) - mean
    }
  }
  return deviations
}

function differencesOf({ values, elements }: OutputSamples, pairs: readonly [number, number][]): Float64Array {
  const kept = Math.min(elements, maxElements)
  const differences = new Float64Array(pairs.length * kept)
  for (const [index, [first, second]] of pairs.entries()) {
    for (let place = 0; place < kept; place++) {
      const element = Math.floor((place * elements) / kept)
      const difference =
        (values[first * elements + element] as number) - (values[second * elements + element] as number)
      differences[index * kept + place] = difference
    }
  }
  return differences
}

function magnitudeOf({ values }: OutputSamples): number {
  let most = 0
  for (let at = 0; at < values.length; at++) most = Math.max(most, Math.abs(values[at] as number))
  return most
}

/** 0 where one does not vary, or is not finite. */
function correlation(a: Float64Array, b: Float64Array): number {
  const value = dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
  return Number.isFinite(value) ? value : 0
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[at] as number)
  return sum
}
