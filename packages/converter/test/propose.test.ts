import { describe, expect, it } from 'vitest'
import { type Candidates, candidatesFor } from '../src/candidates.ts'
import { ConversionError, type LayerError, type VariantResult } from '../src/index.ts'
import { isBetter, type ProposalTools, proposeBetter, type TriedCandidate } from '../src/propose.ts'
import { parityOf, recipeOf } from './report-result.ts'

const layer = (tensor: string, operator: string, position = 1): LayerError => {
  return { tensor, operator, position, snrDb: 3, lossDb: 5 }
}

const rejected: VariantResult = {
  variant: 'full_int8',
  recipe: recipeOf('full_int8', 'full_int8'),
  state: 'rejected',
  parity: parityOf(3),
  runtimes: [],
  converterOptions: { calibrationSamples: 100 }
}

const layers = [layer('net/add', 'ADD'), layer('a;net/conv(1)', 'CONV_2D'), layer('net/dense', 'FULLY_CONNECTED')]
const uploaded = { requested: ['float32', 'full_int8'], calibrationUploaded: true }
const names = ({ sameKind, coarser }: Candidates) =>
  [sameKind, coarser].map((each) => each.map(({ recipe }) => recipe.name))

describe('what is tried for a rejected variant', () => {
  it('is other calibration, the other engine, the worst layers kept float, then coarser quantization', () => {
    const candidates = candidatesFor(rejected, layers, uploaded)
    expect(names(candidates)).toEqual([
      ['full_int8-middle50', 'full_int8-litertq', 'full_int8-litertq-float2'],
      ['dynamic_int8', 'float16']
    ])
    expect(candidates.sameKind[0]).toMatchObject({ kind: 'other-calibration', calibrationTake: { from: 25, to: 75 } })
    expect(candidates.sameKind[2]?.recipe.engine).toBe('litert-quantizer')
  })

  it('keeps float exactly the layers that were named, and none that has no weights', () => {
    const [first = '', second = '', ...more] =
      candidatesFor(rejected, layers, uploaded).sameKind[2]?.recipe.floatLayers ?? []
    expect(more).toEqual([])
    expect(new RegExp(first).test('a;net/conv(1);')).toBe(true)
    expect(new RegExp(first).test('a;net/conv(12);')).toBe(false)
    expect(new RegExp(second).test('x;net/dense;')).toBe(true)
    expect(new RegExp(second).test('other-net/dense;')).toBe(false)
  })

  it('leaves out what is asked for anyway, and other calibration where none was uploaded', () => {
    const facts = { requested: ['dynamic_int8', 'full_int8-litertq'], calibrationUploaded: false }
    expect(names(candidatesFor(rejected, layers, facts))).toEqual([['full_int8-litertq-float2'], ['float16']])
  })

  it('uses no recipe with the same calibration where the input itself is cut off', () => {
    const candidates = candidatesFor(rejected, [layer('image', 'INPUT', 0), ...layers], uploaded)
    expect(names(candidates)).toEqual([['full_int8-middle50'], ['dynamic_int8', 'float16']])
  })
})

describe('what is proposed', () => {
  const tried = (state: VariantResult['state'], snrDb: number): TriedCandidate => {
    return {
      state,
      parity: parityOf(snrDb),
      bytes: 700,
      runtimes: [{ name: 'litert', version: '2', runnable: true, p50Ms: 2 }]
    }
  }

  function bench(answers: Record<string, TriedCandidate | Error>, stepMs = 0) {
    const stop = new AbortController()
    const asked: string[] = []
    let nowMs = 0
    const tools: ProposalTools = {
      findLayers: async () => layers,
      tryCandidate: async ({ recipe: { name } }) => {
        asked.push(name)
        nowMs += stepMs
        const answer = answers[name]
        if (answer instanceof Error) throw answer
        return answer
      },
      signal: stop.signal,
      now: () => nowMs
    }
    const propose = (budgetMs = 60_000) => proposeBetter(rejected, uploaded, tools, { budgetMs })
    return { asked, propose, stop }
  }

  it('is only what was measured better, the ready first, with its latency', async () => {
    const { propose } = bench({
      'full_int8-middle50': tried('rejected', 3.5),
      'full_int8-litertq': tried('rejected', 8),
      'full_int8-litertq-float2': tried('ready', 12)
    })
    const { proposals, layerErrors } = await propose()
    expect(layerErrors).toEqual(layers)
    expect(proposals?.map(({ recipe, kind, state, p50Ms, bytes }) => [recipe.name, kind, state, p50Ms, bytes])).toEqual(
      [
        ['full_int8-litertq-float2', 'float-layers', 'ready', 2, 700],
        ['full_int8-litertq', 'other-recipe', 'rejected', 2, 700]
      ]
    )
    expect(proposals?.[0]?.summary).toBe(
      'The 2 worst layers kept float, by litert-quantizer: SNR 12.0 dB instead of 3.0 dB, agreement 0.970 instead of 0.970.'
    )
  })

  it('is nothing where nothing was better', async () => {
    const { propose, asked } = bench({ 'full_int8-middle50': tried('rejected', 2), 'full_int8-litertq': undefined })
    expect(await propose()).toEqual({ layerErrors: layers })
    expect(asked).toHaveLength(5)
  })

  it('is a coarser variant only where none of the same kind is ready', async () => {
    const ready = bench({ 'full_int8-litertq': tried('ready', 12) })
    await ready.propose()
    expect(ready.asked).not.toContain('dynamic_int8')
    const none = bench({ dynamic_int8: tried('ready', 22), float16: tried('ready', 36) })
    expect((await none.propose()).proposals?.map(({ recipe }) => recipe.name)).toEqual(['dynamic_int8'])
  })

  it('goes on after a candidate that could not be made, and ends with its time', async () => {
    const failure = new ConversionError('converter-failed', 'no such op')
    const { propose, asked } = bench({ 'full_int8-middle50': failure, 'full_int8-litertq': tried('ready', 12) }, 600)
    expect((await propose(1000)).proposals).toHaveLength(1)
    expect(asked).toEqual(['full_int8-middle50', 'full_int8-litertq'])
  })

  it('throws why the conversion was stopped, and faults of our own', async () => {
    const cancelled = bench({ 'full_int8-middle50': new Error('killed') })
    cancelled.stop.abort(new ConversionError('conversion-cancelled'))
    await expect(cancelled.propose()).rejects.toMatchObject({ code: 'conversion-cancelled' })
    await expect(bench({ 'full_int8-middle50': new TypeError('ours') }).propose()).rejects.toThrow('ours')
  })
})

describe('better', () => {
  const before = { state: 'rejected', parity: parityOf(3, { accuracy: { original: 0.96, variant: 0.9 } }) } as const

  it('is a better state, or more of one measure and less of none', () => {
    const accuracy = (variant: number) => ({ accuracy: { original: 0.96, variant } })
    expect(isBetter({ state: 'ready', parity: parityOf(1) }, before)).toBe(true)
    expect(isBetter({ state: 'rejected', parity: parityOf(6, accuracy(0.9)) }, before)).toBe(true)
    expect(isBetter({ state: 'rejected', parity: parityOf(3.4, accuracy(0.9)) }, before)).toBe(false)
    expect(isBetter({ state: 'rejected', parity: parityOf(9, accuracy(0.8)) }, before)).toBe(false)
    expect(isBetter({ state: 'failed', parity: parityOf(9, accuracy(0.9)) }, { state: 'rejected' })).toBe(false)
  })
})
