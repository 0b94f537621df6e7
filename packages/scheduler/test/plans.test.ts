import type { PredictedLatency, Requirements, RuntimeInfo, Variant } from '@skerry/contracts'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  chooseUnderRequirements,
  type DeviceEvidence,
  type RankedVariants,
  type RequirementChoice,
  rankVariants,
  type VersionCandidate
} from '../src/index.ts'

const litert: RuntimeInfo = { name: 'litert', version: '2' }
const wasm: RuntimeInfo = { name: 'tfjs-tflite', version: '0' }
type Parity = NonNullable<Variant['parity']>

const parity = (more: { agreement?: number; accuracy?: [original: number, variant: number] }): Parity => ({
  reference: 'keras',
  data: 'uploaded',
  samples: 80,
  outputs: [
    {
      name: 'y',
      snrDb: 40,
      maxAbsError: 0,
      meanAbsError: 0,
      ...(more.agreement === undefined ? {} : { agreement: more.agreement }),
      tolerance: {},
      passed: true
    }
  ],
  ...(more.accuracy === undefined ? {} : { accuracy: { original: more.accuracy[0], variant: more.accuracy[1] } }),
  passed: true
})
const variant = (name: string, proof: Parameters<typeof parity>[0], more: Partial<Variant> = {}): Variant => ({
  variant: name,
  recipe: name,
  state: 'ready',
  sha256: name,
  bytes: 1,
  operators: [],
  parity: parity(proof),
  createdAt: '2026-01-01T00:00:00.000Z',
  ...more
})
const measured = (p50Ms: number): PredictedLatency => ({
  p50Ms,
  p90Ms: p50Ms * 1.1,
  p95Ms: p50Ms * 1.2,
  p99Ms: p50Ms * 1.5,
  source: 'measured'
})
const predicted = (p50Ms: number, p95Ms: number): PredictedLatency => ({
  ...measured(p50Ms),
  p95Ms,
  p99Ms: p95Ms * 2,
  source: 'predicted'
})
const device = (more: Partial<DeviceEvidence> = {}): DeviceEvidence => ({
  runtimes: [litert],
  memoryAvailableBytes: null,
  isLoaded: () => false,
  support: () => null,
  failure: () => undefined,
  latency: () => null,
  memory: () => null,
  ...more
})
const at = (times: Record<string, PredictedLatency>) => ({ latency: (artifact: string) => times[artifact] ?? null })
const model = (name: string, variants: Variant[]): VersionCandidate => ({ model: name, version: '1', variants })
const choose = (
  candidates: VersionCandidate[],
  requirements: Requirements,
  more: Partial<DeviceEvidence> = {},
  whenUnsure: 'refuse' | 'measure' = 'refuse'
): RequirementChoice => chooseUnderRequirements(rankVariants(candidates), device(more), requirements, whenUnsure)
const taken = (choice: RequirementChoice) =>
  choice.kind === 'chosen' ? `${choice.option.ranked.model} ${choice.option.ranked.variant.variant}` : choice.kind
const refusals = (choice: RequirementChoice) =>
  (choice.kind === 'none' ? choice.reasons : choice.kind === 'chosen' ? choice.passedOver : []).map(
    ({ variant: name, filter, reason }) => `${name} ${filter}: ${reason}`
  )

describe('the choice under requirements', () => {
  it('takes the most accurate that is fast enough here, and says of the more accurate ones why not', () => {
    const face = model('face', [variant('a', { accuracy: [0.96, 0.96] }), variant('b', { accuracy: [0.96, 0.95] })])
    const choice = choose([face], { maxLatencyMs: 20 }, at({ a: measured(30), b: measured(10) }))
    expect(taken(choice)).toBe('face b')
    expect(refusals(choice)).toEqual(['a latency: p95 measured 36 ms, allowed 20 ms'])
  })

  it('holds the 95th percentile against the requirement, not the median', () => {
    const face = model('face', [variant('a', { accuracy: [0.96, 0.96] })])
    expect(taken(choose([face], { maxLatencyMs: 11 }, at({ a: measured(10) })))).toBe('none')
    expect(taken(choose([face], { maxLatencyMs: 12 }, at({ a: measured(10) })))).toBe('face a')
  })

  it('compares members of a family by accuracy on labels, and counts the drop from the best original', () => {
    const wide = model('wide', [variant('w', { accuracy: [0.96, 0.96] }), variant('wq', { accuracy: [0.96, 0.9] })])
    const narrow = model('narrow', [variant('n', { accuracy: [0.93, 0.93] })])
    expect(rankVariants([narrow, wide])).toMatchObject({ comparedBy: 'accuracy' })
    const times = at({ w: measured(50), wq: measured(9), n: measured(1) })
    expect(taken(choose([narrow, wide], {}, times))).toBe('wide w')
    // The narrow original beats the wide one's quantized form, though neither is what its own original lost.
    expect(taken(choose([narrow, wide], { maxLatencyMs: 20 }, times))).toBe('narrow n')
    const strict = choose([narrow, wide], { maxLatencyMs: 20, maxAccuracyDrop: 0.01 }, times)
    expect(refusals(strict)).toEqual([
      'w latency: p95 measured 60 ms, allowed 20 ms',
      'n accuracy: accuracy drop 0.03, allowed 0.01',
      'wq accuracy: accuracy drop 0.06, allowed 0.01'
    ])
  })

  it('lets the order of the candidates decide where one has no labels: agreement is with its own original only', () => {
    const wide = model('wide', [variant('w', { agreement: 0.96 })])
    const narrow = model('narrow', [variant('n', { agreement: 1 })])
    expect(rankVariants([wide, narrow])).toMatchObject({ comparedBy: 'order' })
    expect(taken(choose([wide, narrow], {}))).toBe('wide w')
    expect(taken(choose([narrow, wide], {}))).toBe('narrow n')
    expect(refusals(choose([wide, narrow], { maxAccuracyDrop: 0.1 }))).toEqual([
      'w accuracy: it was not compared on labelled evaluation data',
      'n accuracy: it was not compared on labelled evaluation data'
    ])
  })

  it('gives a tie to the lower latency, never to the smaller file', () => {
    const face = model('face', [
      variant('a', { accuracy: [0.9, 0.9] }, { bytes: 1 }),
      variant('b', { accuracy: [0.9, 0.9] }, { bytes: 1e9 })
    ])
    expect(taken(choose([face], {}, at({ a: measured(3), b: measured(2) })))).toBe('face b')
    expect(taken(choose([face], {}, at({ b: measured(2) })))).toBe('face b')
  })

  it('promises nothing by an uncertain prediction, and a deployment measures there first', () => {
    const face = model('face', [variant('a', { accuracy: [0.96, 0.96] }), variant('b', { accuracy: [0.96, 0.95] })])
    const times = at({ a: predicted(15, 40), b: measured(10) })
    const planned = choose([face], { maxLatencyMs: 20 }, times)
    expect(taken(planned)).toBe('face b')
    expect(refusals(planned)[0]).toContain(
      'p95 predicted 40 ms (p50 15 ms), allowed 20 ms; a benchmark there would tell'
    )
    const deployed = choose([face], { maxLatencyMs: 20 }, times, 'measure')
    expect(deployed).toMatchObject({ kind: 'measure', options: [{ ranked: { artifact: 'a' } }] })
    // What is hopeless even at its best is not worth a benchmark.
    const hopeless = at({ a: predicted(150, 200), b: measured(10) })
    expect(taken(choose([face], { maxLatencyMs: 20 }, hopeless, 'measure'))).toBe('face b')
  })

  it('has a deployment time all of a tie before it takes one', () => {
    const face = model('face', [variant('a', { accuracy: [0.9, 0.9] }), variant('b', { accuracy: [0.9, 0.9] })])
    const choice = choose([face], { minAgreement: 0 }, at({ a: measured(5), b: predicted(1, 2) }), 'measure')
    expect(choice).toMatchObject({ kind: 'measure', options: [{ ranked: { artifact: 'b' } }] })
  })

  it('counts agreement on the runtime that would run it before that at conversion', () => {
    const tried = [{ name: 'tfjs-tflite', version: '0', runnable: true, parity: parity({ agreement: 0.8 }) }]
    const face = model('face', [variant('a', { agreement: 0.99 }, { runtimes: tried })])
    expect(taken(choose([face], { minAgreement: 0.95 }))).toBe('face a')
    expect(refusals(choose([face], { minAgreement: 0.95 }, { runtimes: [wasm] }))).toEqual([
      'a agreement: agreement 0.8, required 0.95'
    ])
    expect(choose([face], { minAgreement: 0.95 }, { runtimes: [wasm, litert] })).toMatchObject({
      option: { runtime: litert }
    })
  })

  it('holds memory against the requirement and against the device, unless it is loaded there already', () => {
    const face = model('face', [variant('a', { agreement: 1 })])
    const memory: DeviceEvidence['memory'] = () => ({ bytes: 60e6, source: 'predicted' })
    expect(refusals(choose([face], { maxMemoryBytes: 50e6 }, { memory }))).toEqual([
      'a memory: memory predicted 60 MB, allowed 50 MB'
    ])
    expect(refusals(choose([face], {}, { memory, memoryAvailableBytes: 32e6 }))).toEqual([
      'a memory: memory predicted 60 MB, available there 32 MB'
    ])
    expect(taken(choose([face], {}, { memory, memoryAvailableBytes: 32e6, isLoaded: () => true }))).toBe('face a')
    expect(refusals(choose([face], { maxMemoryBytes: 50e6 }))).toEqual([
      'a memory: how much memory it takes is not known'
    ])
  })

  it('says of each candidate that has nothing to serve why', () => {
    const rejected = model('face', [variant('a', {}, { state: 'rejected' })])
    expect(choose([rejected, model('empty', [])], {})).toEqual({
      kind: 'none',
      reasons: [
        { model: 'face', version: '1', filter: 'variants', reason: 'no variant may be served (a is rejected)' },
        { model: 'empty', version: '1', filter: 'variants', reason: 'it has no variants yet: convert it first' }
      ]
    })
  })
})

describe('any choice under requirements', () => {
  const fraction = fc.integer({ min: 80, max: 100 }).map((percent) => percent / 100)
  const ms = fc.integer({ min: 1, max: 60 })
  const fleet = fc.record({
    models: fc.array(
      fc.array(
        fc.record({
          accuracy: fc.option(fraction, { nil: undefined, freq: 6 }),
          agreement: fc.option(fraction, { nil: undefined }),
          supported: fc.boolean(),
          p50Ms: fc.option(ms, { nil: undefined }),
          isMeasured: fc.boolean(),
          memoryBytes: fc.option(fc.integer({ min: 1, max: 100 }), { nil: undefined })
        }),
        { maxLength: 5 }
      ),
      { minLength: 1, maxLength: 3 }
    ),
    requirements: fc.record(
      {
        maxLatencyMs: ms,
        minAgreement: fraction,
        maxAccuracyDrop: fraction.map((share) => 1 - share),
        maxMemoryBytes: fc.integer({ min: 1, max: 100 })
      },
      { requiredKeys: [] }
    )
  })
  type Fleet = typeof fleet extends fc.Arbitrary<infer T> ? T : never

  function build({ models }: Fleet): { ranked: RankedVariants; evidence: DeviceEvidence } {
    const all = new Map<string, Fleet['models'][number][number]>()
    const candidates = models.map((variants, m) =>
      model(
        `m${m}`,
        variants.map((each, v) => {
          const name = `m${m}v${v}`
          all.set(name, each)
          return variant(name, {
            ...(each.accuracy === undefined ? {} : { accuracy: [0.98, each.accuracy] as [number, number] }),
            ...(each.agreement === undefined ? {} : { agreement: each.agreement })
          })
        })
      )
    )
    const evidence = device({
      support: ({ artifact }) => (all.get(artifact)?.supported === true ? null : 'an operator is missing'),
      latency: (artifact) => {
        const { p50Ms, isMeasured } = all.get(artifact) ?? {}
        if (p50Ms === undefined) return null
        return isMeasured === true ? measured(p50Ms) : predicted(p50Ms, p50Ms * 1.6)
      },
      memory: ({ artifact }) => {
        const bytes = all.get(artifact)?.memoryBytes
        return bytes === undefined ? null : { bytes, source: 'estimated' }
      }
    })
    return { ranked: rankVariants(candidates), evidence }
  }

  /** Written apart from the code under test, from the requirement's words. */
  function meets(
    entry: RankedVariants['variants'][number],
    { support, latency, memory }: DeviceEvidence,
    r: Requirements
  ) {
    const agreement = entry.variant.parity?.outputs[0]?.agreement
    const p95Ms = latency(entry.artifact, litert)?.p95Ms
    const bytes = memory(entry, litert)?.bytes
    return (
      support(entry, litert) === null &&
      (r.maxLatencyMs === undefined || (p95Ms !== undefined && p95Ms <= r.maxLatencyMs)) &&
      (r.minAgreement === undefined || (typeof agreement === 'number' && agreement >= r.minAgreement)) &&
      (r.maxAccuracyDrop === undefined ||
        (entry.accuracyDrop !== null && entry.accuracyDrop <= r.maxAccuracyDrop + 1e-9)) &&
      (r.maxMemoryBytes === undefined || (bytes !== undefined && bytes <= r.maxMemoryBytes))
    )
  }

  it('meets them all, and nothing that meets them is more accurate, or as accurate and faster', () => {
    fc.assert(
      fc.property(fleet, (given) => {
        const { ranked, evidence } = build(given)
        const choice = chooseUnderRequirements(ranked, evidence, given.requirements, 'refuse')
        const able = ranked.variants.filter((entry) => meets(entry, evidence, given.requirements))
        if (choice.kind !== 'chosen') {
          expect(able).toEqual([])
          return
        }
        const { ranked: entry, latency } = choice.option
        expect(meets(entry, evidence, given.requirements)).toBe(true)
        const p50Of = (artifact: string) => evidence.latency(artifact, litert)?.p50Ms ?? Number.MAX_VALUE
        for (const other of able) {
          expect(other.rank).toBeGreaterThanOrEqual(entry.rank)
          if (other.rank === entry.rank)
            expect(latency?.p50Ms ?? Number.MAX_VALUE).toBeLessThanOrEqual(p50Of(other.artifact))
        }
      }),
      { numRuns: 500 }
    )
  })

  it('tells a reason for every variant that was passed over', () => {
    fc.assert(
      fc.property(fleet, (given) => {
        const { ranked, evidence } = build(given)
        const choice = chooseUnderRequirements(ranked, evidence, given.requirements, 'refuse')
        if (choice.kind === 'measure') throw new Error('a plan measures nothing')
        const limit = choice.kind === 'chosen' ? choice.option.ranked.rank : Number.POSITIVE_INFINITY
        const told = (choice.kind === 'chosen' ? choice.passedOver : choice.reasons).map((each) => each.variant)
        for (const entry of ranked.variants) if (entry.rank < limit) expect(told).toContain(entry.variant.variant)
        if (choice.kind === 'none') expect(choice.reasons.length).toBeGreaterThan(0)
        for (const { reason } of choice.kind === 'chosen' ? choice.passedOver : choice.reasons)
          expect(reason).not.toBe('')
      }),
      { numRuns: 300 }
    )
  })

  it('is never less accurate when a requirement is taken away', () => {
    fc.assert(
      fc.property(fleet, fc.nat(), (given, pick) => {
        const keys = Object.keys(given.requirements) as (keyof Requirements)[]
        const dropped = keys[pick % Math.max(1, keys.length)]
        const looser = Object.fromEntries(Object.entries(given.requirements).filter(([key]) => key !== dropped))
        const { ranked, evidence } = build(given)
        const rankOf = (requirements: Requirements) => {
          const choice = chooseUnderRequirements(ranked, evidence, requirements, 'refuse')
          return choice.kind === 'chosen' ? choice.option.ranked.rank : Number.POSITIVE_INFINITY
        }
        expect(rankOf(looser)).toBeLessThanOrEqual(rankOf(given.requirements))
      }),
      { numRuns: 300 }
    )
  })

  it('of a deployment ends once all it asked for is measured', () => {
    fc.assert(
      fc.property(fleet, (given) => {
        const { ranked, evidence } = build(given)
        const known = new Map<string, PredictedLatency>()
        const learning = {
          ...evidence,
          latency: (artifact: string) => known.get(artifact) ?? evidence.latency(artifact, litert)
        }
        for (let round = 0; round <= ranked.variants.length; round++) {
          const choice = chooseUnderRequirements(ranked, learning, given.requirements, 'measure')
          if (choice.kind !== 'measure') return
          for (const { ranked: entry } of choice.options) {
            expect(known.has(entry.artifact)).toBe(false)
            known.set(entry.artifact, measured(10))
          }
        }
        throw new Error('it measures for ever')
      }),
      { numRuns: 300 }
    )
  })
})
