import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { NamedArray } from '../src/array.ts'
import { type Evidence, gatherEvidence } from '../src/evidence.ts'
import { writeNpz } from '../src/npz.ts'
import { drawOutputs } from '../src/pictures.ts'
import { compareTrial } from '../src/prove.ts'
import type { Described, Exported } from '../src/python-converter.ts'
import { stateOf } from '../src/verdict.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'skerry-evidence-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const samples = 80
const floats = (name: string, count: number, value: (at: number) => number, shape = [count]): NamedArray => ({
  name,
  dtype: 'float32',
  shape,
  data: Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, at) => value(at))
})
const input = (from: number, count = samples) => floats('x:a', count, (at) => Math.sin(from * 3 + at), [count, 3])
const answers = (count = samples) => floats('x:out', count, (at) => 0.5 + 0.4 * Math.sin(at), [count, 1])
const described = (dtype = 'float32') =>
  ({
    inputs: [{ name: 'a', dtype, shape: [-1, 3] }],
    outputs: [{ name: 'out', dtype: 'float32', shape: [-1, 1] }],
    names: { inputs: { a: 'a' }, outputs: { out: 'out' } },
    reference: { name: 'keras', version: '3' },
    converter: { name: 'c', version: '1' },
    versions: {}
  }) as unknown as Described

async function gather(more: NamedArray[] = [], calibration?: NamedArray[], dtype?: string) {
  const file = (name: string) => path.join(folder, `${name}.npz`)
  await writeNpz(file('samples'), [input(0), ...more])
  await writeNpz(file('reference'), [answers()])
  if (calibration !== undefined) await writeNpz(file('calibration'), calibration)
  const exported: Exported = {
    exportPath: folder,
    samplesPath: file('samples'),
    referencePath: file('reference'),
    data: 'uploaded'
  }
  const warnings: string[] = []
  const onWarning = (message: string) => warnings.push(message)
  const path_ = calibration === undefined ? undefined : file('calibration')
  return { evidence: await gatherEvidence(described(dtype), exported, onWarning, path_), warnings }
}

const judged = (evidence: Evidence, wrong: (at: number) => boolean = () => false) => {
  const [reference] = evidence.reference
  const data = Float32Array.from(reference?.data as Float32Array, (value, at) => (wrong(at) ? 1 - value : value))
  const outputs = [{ ...(reference as NamedArray), data }]
  const loaded = { signature: '', inputs: [], outputs: [], loadMs: 0 }
  return stateOf(compareTrial('full_int8', evidence, { loaded, outputs }), evidence.unproven)
}

describe('held-out data', () => {
  // Calibration arrays are named by the input alone, and may be of another precision.
  const seen = (rows: number): NamedArray => {
    const { data } = input(0, rows)
    return { name: 'a', dtype: 'float64', shape: [rows, 3], data: Float64Array.from(data as Float32Array) }
  }

  it('samples that calibration has seen are left out, and said so', async () => {
    const { evidence, warnings } = await gather([], [seen(10)])
    expect(evidence.heldOut).toHaveLength(70)
    expect(warnings).toEqual([
      '10 of the 80 evaluation samples are calibration samples too: they are left out, and the other 70 compared.'
    ])
    // Wrong where it does not count, and where it does.
    expect(judged(evidence, (at) => at < 10).state).toBe('ready')
    expect(judged(evidence, (at) => at >= 60).state).toBe('rejected')
  })

  it('with fewer than 64 of the others nothing is proven, but what is broken is still found', async () => {
    const { evidence } = await gather([], [seen(30)])
    expect(judged(evidence)).toEqual({
      state: 'unproven',
      reason:
        '30 of the 80 evaluation samples are calibration samples too; ' +
        'at least 64 that calibration never saw prove something.'
    })
    expect(judged(evidence, (at) => at % 3 === 0).state).toBe('rejected')
  })

  it('calibration data apart from it, or no .npz, leaves everything', async () => {
    expect((await gather([], [{ ...input(9), name: 'a' }])).evidence.heldOut).toBeUndefined()
    await writeFile(path.join(folder, 'text.npz'), 'no archive')
    const { evidence } = await gather()
    expect(evidence.heldOut).toBeUndefined()
    expect(judged(evidence)).toEqual({ state: 'ready' })
  })
})

describe('what the converter wrote', () => {
  it('texts are not compared, and the reason says so', async () => {
    const { evidence } = await gather([], undefined, 'string')
    expect(evidence).toMatchObject({ samples: [], reference: [], golden: [] })
    expect(evidence.unproven).toBe('a is of type string, which no runtime here takes: nothing was compared.')
  })

  it('labels are of the first output that they fit', async () => {
    const y = floats('y', samples, (at) => Number(Math.sin(at) > 0))
    const { evidence, warnings } = await gather([y])
    expect(evidence).toMatchObject({ labelledOutput: 0, labels: { kind: 'threshold' } })
    expect(warnings).toEqual([])
    const { evidence: without, warnings: why } = await gather([floats('y', samples, (at) => at)])
    expect(without.labels).toBeUndefined()
    expect(why).toEqual(['The labels are not used: they are not whole numbers from 0 to 1.'])
  })
})

describe('pictures', () => {
  it('hold every finite value in one bin, both sides in the same bins, and at most 500 pairs', () => {
    const values = (seed: number) => ({
      elements: 2,
      lastAxis: 2,
      values: Float32Array.from({ length: 1200 }, (_, at) => Math.sin(at * seed))
    })
    const candidate = values(1.001)
    candidate.values[7] = Number.NaN
    candidate.values[8] = Number.POSITIVE_INFINITY
    const [picture] = drawOutputs([{ name: 'out', reference: values(1), candidate }])
    const total = (counts: number[]) => counts.reduce((sum, count) => sum + count, 0)
    expect(picture).toMatchObject({ name: 'out' })
    expect(total(picture?.reference.counts ?? [])).toBe(1200)
    expect(total(picture?.candidate.counts ?? [])).toBe(1198)
    expect(total(picture?.error.counts ?? [])).toBe(1198)
    expect(picture?.candidate).toMatchObject({ from: picture?.reference.from, to: picture?.reference.to })
    expect(picture?.error.from).toBe(-(picture?.error.to ?? 0))
    expect(picture?.pairs.length).toBeGreaterThan(490)
    expect(picture?.pairs.length).toBeLessThanOrEqual(500)
  })
})
