import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isTelling, readLabels } from '../src/accuracy.ts'
import { measureOutput, type OutputSamples, signalToNoiseDb } from '../src/parity.ts'
import { DEFAULT_TOLERANCES, toleranceFor } from '../src/tolerances.ts'
import type { Tolerance } from '../src/types.ts'
import { judge, stateOf, worst } from '../src/verdict.ts'
import { comparison, map, output, type Samples, varied } from './output-samples.ts'

describe('verdicts', () => {
  const waves = output(Array.from({ length: 64 }, (_, at) => Math.sin(at)))
  const lenient: Tolerance = { minSnrDb: -1000, minAgreement: 0 }

  it('NaN, infinite and constant outputs are rejected whatever the tolerance', () => {
    fc.assert(
      fc.property(varied, fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY), fc.nat(), (reference, bad, where) => {
        const broken = map(reference, (value, at) => (at === where % reference.values.length ? bad : value))
        expect(judge(comparison(reference, broken, { tolerance: {} })).outcome).toBe('rejected')
        const constant = map(reference, () => 0.5)
        expect(judge(comparison(reference, constant, { tolerance: lenient })).outcome).toBe('rejected')
      })
    )
  })

  it('a constant original is inconclusive even when the variant repeats it', () => {
    const half = output(new Array(64).fill(0.5))
    const verdict = judge(comparison(half, half))
    expect(verdict.outcome).toBe('inconclusive')
    expect(verdict.parity.passed).toBe(false)
  })

  it('passes exactly from its SNR on', () => {
    const noisy = map(waves, (value, at) => value + 0.05 * (at % 2 === 0 ? 1 : -1))
    const snr = signalToNoiseDb(waves, noisy)
    expect(judge(comparison(waves, noisy, { tolerance: { minSnrDb: snr - 0.001 } })).outcome).toBe('passed')
    expect(judge(comparison(waves, noisy, { tolerance: { minSnrDb: snr + 0.001 } })).outcome).toBe('rejected')
  })

  it('one swapped output among two is rejected', () => {
    const other = map(waves, (value) => Math.cos(5 * value))
    const verdict = judge({
      ...comparison(waves, waves),
      outputs: [
        { name: 'a', reference: waves, candidate: other },
        { name: 'b', reference: other, candidate: waves }
      ]
    })
    expect(verdict.outcome).toBe('rejected')
    expect(verdict.reason).toMatch(/a: SNR .*; b: SNR/)
  })

  it('only enough uploaded data makes a passed variant ready', () => {
    const state = (samples: number, data: 'uploaded' | 'generated') =>
      stateOf(
        judge(comparison(output(waves.values.slice(0, samples)), output(waves.values.slice(0, samples)), { data }))
      )
    expect(state(64, 'uploaded')).toEqual({ state: 'ready' })
    expect(state(63, 'uploaded').state).toBe('unproven')
    expect(state(64, 'generated').state).toBe('unproven')
  })

  it('the worst of several runtimes counts', () => {
    const good = judge(comparison(waves, waves))
    const bad = judge(
      comparison(
        waves,
        map(waves, (value) => -value)
      )
    )
    expect(worst([good, bad, good])).toBe(bad)
    expect(worst([])).toBeUndefined()
  })
})

describe('labels', () => {
  const classes = Array.from({ length: 80 }, (_, at) => at % 2)
  const right = output(classes.map((label, at) => (label === 1 ? 0.99 : 0.01) + 1e-4 * Math.sin(at)))
  const labels = readLabels(Float64Array.from(classes), [80], right)
  if (typeof labels === 'string') throw new Error(labels)

  it('a variant that keeps the accuracy passes although its SNR is low', () => {
    // Every probability is drawn towards .5: a large error, and the same decisions.
    const weak = map(right, (value) => 0.5 + (value - 0.5) * 0.1)
    expect(judge(comparison(right, weak)).outcome).toBe('rejected')
    const verdict = judge(comparison(right, weak, { labels }))
    expect(verdict.outcome).toBe('passed')
    expect(verdict.parity.accuracy).toEqual({ original: 1, variant: 1 })
  })

  it('a variant that loses accuracy is rejected with both accuracies in the reason', () => {
    const guessing = map(right, (value, at) => (at % 4 < 2 ? value : 1 - value))
    const verdict = judge(comparison(right, guessing, { labels, tolerance: { maxAccuracyDrop: 0.03 } }))
    expect(verdict.outcome).toBe('rejected')
    expect(verdict.reason).toContain('accuracy 1.000 -> 0.500 on 80 labelled samples')
  })

  it('accuracy does not excuse a maximum error that the tolerance forbids', () => {
    const off = map(right, (value, at) => (at === 0 ? value + 0.2 : value))
    expect(judge(comparison(right, off, { labels, tolerance: { maxAbsErrorOfRange: 1e-4 } })).outcome).toBe('rejected')
  })

  it('accuracy does not make a float32 variant of one with other numbers', () => {
    const rounded = map(right, (value, at) => value + 4e-4 * Math.sin(5 * at))
    const verdict = judge(comparison(right, rounded, { labels, tolerance: DEFAULT_TOLERANCES.float32 }))
    expect(verdict.reason).toMatch(/^out: SNR 6\d\.\d dB \(at least 80\)\.$/)
    expect(judge(comparison(right, rounded, { labels, tolerance: DEFAULT_TOLERANCES.float16 })).outcome).toBe('passed')
  })

  it('labels that the original itself only guesses decide nothing', () => {
    const shuffled = readLabels(
      Float64Array.from({ length: 80 }, (_, at) => Math.floor(at / 2) % 2),
      [80],
      right
    )
    if (typeof shuffled === 'string') throw new Error(shuffled)
    const guessing = map(right, (value, at) => (at % 4 < 2 ? value : 1 - value))
    const verdict = judge(comparison(right, guessing, { labels: shuffled }))
    expect(isTelling(verdict.parity.accuracy?.original ?? 1, shuffled)).toBe(false)
    expect(verdict.outcome).toBe('rejected')
  })

  it('one-hot labels mean their class; labels that do not fit are refused with a reason', () => {
    const scores = output([0.9, 0.1, 0, 0.1, 0.2, 0.7], 3)
    expect(readLabels(Float64Array.from([1, 0, 0, 0, 0, 1]), [2, 3], scores)).toMatchObject({
      classes: Float64Array.of(0, 2)
    })
    expect(readLabels(Float64Array.from([0, 3]), [2], scores)).toContain('whole numbers from 0 to 2')
    expect(readLabels(Float64Array.from([0, 1, 2]), [3], scores)).toContain('does not fit')
  })
})

describe('labels that cannot tell', () => {
  const classes = Array.from({ length: 80 }, (_, at) => at % 2)
  const right = output(classes.map((label, at) => (label === 1 ? 0.99 : 0.01) + 1e-4 * Math.sin(at)))
  const labels = readLabels(Float64Array.from(classes), [80], right)
  if (typeof labels === 'string') throw new Error(labels)
  const tolerance: Tolerance = { minSnrDb: 10, minAgreement: 0.95, maxAccuracyDrop: 0.03 }
  const losing = (count: number, noise = 0) =>
    map(right, (value, at) => (at < count ? 1 - value : value + noise * (value > 0.5 ? -1 : 1)))

  it('within one standard error of what is allowed, SNR and agreement decide', () => {
    // Three of 80 is a drop of .0375 with a standard error of .022: no proof that more than .03 are lost.
    expect(judge(comparison(right, losing(3), { labels, tolerance: { ...tolerance, minSnrDb: 5 } })).outcome).toBe(
      'passed'
    )
    const verdict = judge(comparison(right, losing(3, 0.2), { labels, tolerance }))
    expect(verdict.outcome).toBe('rejected')
    expect(verdict.reason).toMatch(/accuracy 1.000 -> 0.963 .* so few cannot tell\); out: SNR/)
  })

  it('one lost sample of 80 that SNR and agreement excuse is no loss; six are, whatever those say', () => {
    expect(judge(comparison(right, losing(1), { labels, tolerance })).outcome).toBe('passed')
    expect(judge(comparison(right, losing(6), { labels, tolerance: { maxAccuracyDrop: 0.03 } })).outcome).toBe(
      'rejected'
    )
  })
})

describe('outputs that are not one clear decision', () => {
  it('an output that decides nothing needs a higher SNR from quantized variants, unless the request says otherwise', () => {
    expect(toleranceFor('full_int8', 'uploaded', {}, 0).minSnrDb).toBe(20)
    expect(toleranceFor('full_int8', 'uploaded', {}, 0.9).minSnrDb).toBe(DEFAULT_TOLERANCES.full_int8.minSnrDb)
    expect(toleranceFor('full_int8', 'uploaded', { minSnrDb: 8 }, 0).minSnrDb).toBe(8)
    expect(toleranceFor('float16', 'uploaded', {}, 0).minSnrDb).toBe(DEFAULT_TOLERANCES.float16.minSnrDb)
    // Temperatures: nothing in 0..1, one element.
    const degrees = output(Array.from({ length: 80 }, (_, at) => 20 + 10 * Math.sin(at)))
    const off = map(degrees, (value, at) => value + 1.5 * Math.cos(9 * at))
    const judged = (values: Samples) =>
      judge({
        ...comparison(degrees, values),
        tolerance: (decided) => toleranceFor('full_int8', 'uploaded', {}, decided)
      })
    expect(judged(off).reason).toMatch(/SNR 1\d\.\d dB \(at least 20\)/)
    expect(judged(map(degrees, (value, at) => value + 0.5 * Math.cos(9 * at))).outcome).toBe('passed')
  })

  it('the largest coordinate of many boxes is no decision; the class of every pixel is one', () => {
    const boxes = output(
      Array.from({ length: 4 * 6 * 8 }, (_, at) => Math.sin(at)),
      24,
      4
    )
    expect(
      measureOutput(
        boxes,
        map(boxes, (value) => -value)
      ).agreement
    ).toBeUndefined()
    const pixels = output(
      Array.from({ length: 2 * 6 * 8 }, (_, at) => (at % 2 === 0 ? 0.9 : 0.1)),
      12,
      2
    )
    expect(
      measureOutput(
        pixels,
        map(pixels, (value) => 1 - value)
      ).agreement
    ).toBe(0)
  })

  it('whole numbers pass by their SNR or by being equal, and are labelled by their value', () => {
    const numbers = { ...output(Array.from({ length: 100 }, (_, at) => (at * 7) % 10)), integers: true }
    const wrong = (every: number) => map(numbers, (value, at) => (at % every === 0 ? (value + 5) % 10 : value))
    expect(measureOutput(numbers, wrong(50)).agreement).toBe(0.98)
    expect(judge(comparison(numbers, wrong(50))).outcome).toBe('passed')
    expect(judge(comparison(numbers, wrong(5))).outcome).toBe('rejected')
    const counts = map(numbers, (value) => value + 0.4)
    expect(judge(comparison(numbers, counts)).outcome).toBe('passed')
    expect(readLabels(Float64Array.from(numbers.values), [100], numbers)).toMatchObject({ kind: 'equal' })
  })

  it('more than five classes are also compared by their first five', () => {
    // The right class of every fourth sample falls to the seventh place.
    const scores = (lost: boolean) =>
      Array.from({ length: 80 }, (_, sample) =>
        Array.from({ length: 8 }, (_, place) => {
          const isRight = place === sample % 8
          if (!isRight) return 0.02 + 0.001 * place
          return lost && sample % 4 === 0 ? 0 : 0.8
        })
      ).flat()
    const measure = measureOutput(output(scores(false), 8), output(scores(true), 8))
    expect(measure.agreementTop5).toBe(0.75)
    expect(measureOutput(output(scores(false), 8), output(scores(false), 8)).agreementTop5).toBe(1)
    const five = output([0.9, 0.1, 0, 0, 0], 5)
    expect(measureOutput(five, five).agreementTop5).toBeUndefined()
    // All the same: the right class of the first five is there, of the others not.
    const flat = output(new Array(640).fill(0.1), 8)
    expect(measureOutput(output(scores(false), 8), flat).agreementTop5).toBe(5 / 8)
    const onlyTop5 = { tolerance: { minAgreement: 0.5 } }
    expect(judge(comparison(output(scores(false), 8), output(scores(true), 8), onlyTop5)).outcome).toBe('passed')
    const reason = judge(comparison(output(scores(false), 8), output(scores(true), 8))).reason
    expect(reason).toContain('top-5 agreement 0.750')
  })

  it('what the original leaves NaN or infinite is not compared; what the variant adds is broken', () => {
    const values = Array.from({ length: 80 }, (_, at) => (at % 10 === 0 ? Number.NEGATIVE_INFINITY : Math.sin(at)))
    const reference = output(values)
    const masked = map(reference, (value) => (Number.isFinite(value) ? value : -128))
    expect(judge(comparison(reference, masked)).outcome).toBe('passed')
    const measure = measureOutput(reference, masked)
    expect(measure).toMatchObject({ nonFinite: { reference: 8, candidate: 0 }, maxAbsError: 0, rmsError: 0 })
    expect(
      judge(
        comparison(
          reference,
          map(masked, (value, at) => (at === 3 ? Number.NaN : value))
        )
      ).outcome
    ).toBe('rejected')
    const mostly = output(values.map((value, at) => (at % 10 < 6 ? Number.NaN : value)))
    expect(judge(comparison(mostly, mostly)).outcome).toBe('inconclusive')
  })

  it('an output that is constant by nature does not hinder the others, as long as it stays what it is', () => {
    const waves = output(Array.from({ length: 64 }, (_, at) => Math.sin(at)))
    const anchors = map(waves, () => 100)
    const verdict = (anchor: number) =>
      judge({
        ...comparison(waves, waves),
        outputs: [
          { name: 'waves', reference: waves, candidate: waves },
          { name: 'anchors', reference: anchors, candidate: map(anchors, () => anchor) }
        ]
      })
    expect(verdict(100.5).outcome).toBe('passed')
    expect(verdict(90)).toMatchObject({ outcome: 'inconclusive', reason: expect.stringContaining('anchors') })
  })

  it('a large output is measured without copies of it', () => {
    const elements = 1 << 18
    const values = new Float32Array(16 * elements)
    for (let at = 0; at < values.length; at++) values[at] = (at % 251) + (at / elements) * 3
    const large: OutputSamples = { elements, lastAxis: 1, values }
    const before = process.memoryUsage().arrayBuffers
    const measure = measureOutput(large, large)
    expect(measure).toMatchObject({ snrDb: Number.POSITIVE_INFINITY, count: 16 * elements })
    // The means of one sample's elements and no more, where the output itself is 16 MiB.
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(12 << 20)
  })
})
