import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { decodeGoldenOutputs } from '../src/goldens.ts'
import { proveVariant } from '../src/prove.ts'
import { TrialRuntime } from '../src/trial.ts'
import { readVariantFile } from '../src/variant-file.ts'
import { madeModel, readDataSet } from './mutations/made-model.ts'
import { figuresOf } from './mutations/table.ts'
import { evidenceOf, type Row, tryCandidates } from './mutations/try-candidates.ts'
import { findLiteRt } from './real-parts.ts'

// The whole table is made by mutations/run.mjs; here the two small labelled models, and fewer samples to tell by.
const models = ['photographs', 'pair']
const keep = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../.tools/test-models')

const rows: Row[] = []
let runtime: TrialRuntime
beforeAll(async () => {
  const { liteRtLibrary, liteRtVersion } = await findLiteRt()
  runtime = new TrialRuntime('litert', { liteRtLibrary, version: liteRtVersion }, new AbortController().signal)
  for (const name of models) {
    const model = await madeModel(name, keep)
    const choose = ({ variant }: { variant: string }) => variant === 'float32' || variant === 'full_int8'
    rows.push(...(await tryCandidates(model, runtime, { large: 400, choose })))
  }
}, 600_000)
afterAll(() => runtime?.close())

const faultsOf = (harm: Row['truth']['harm']) =>
  new Set(rows.flatMap(({ fault, truth }) => (truth.harm === harm ? [fault] : [])))

it('there is something to find, and something to leave alone', () => {
  expect(faultsOf('harmful').size).toBeGreaterThanOrEqual(12)
  expect(faultsOf('harmless').size).toBeGreaterThanOrEqual(3)
  expect(rows.filter(({ fault }) => fault === 'none').map(({ truth }) => truth.harm)).toEqual(
    new Array(4).fill('harmless')
  )
})

it('with labels no harmful variant is ready, and no harmless one is rejected', () => {
  expect(figuresOf(rows, 'labelled')).toEqual({ judged: rows.length, falseAccepts: [], falseRejects: [] })
})

it('without labels no harmful variant is ready either', () => {
  expect(figuresOf(rows, 'unlabelled').falseAccepts).toEqual([])
})

it('generated inputs alone refuse nothing that is harmless, and find what no tolerance excuses', () => {
  expect(figuresOf(rows, 'generated').falseRejects).toEqual([])
  const found = rows.filter(({ generated }) => generated.state === 'rejected')
  const quantized = new Set(found.filter(({ variant }) => variant === 'full_int8').map(({ fault }) => fault))
  expect(quantized).toEqual(
    new Set(['weights-dropped', 'layer-zeroed', 'last-layer-zeroed', 'swapped-inputs', 'swapped-outputs'])
  )
})

it('beside uploaded data, generated inputs refuse exchanged inputs whatever the tolerance', async () => {
  const model = await madeModel('pair', keep)
  const scratch = await mkdtemp(path.join(tmpdir(), 'skerry-prove-'))
  try {
    const data = await readDataSet(model, 'evaluation')
    const evidence = { ...evidenceOf(model, data, 'uploaded', await readDataSet(model, 'probes')), golden: [0, 9] }
    const goldenOutputsPath = path.join(scratch, 'golden-outputs.bin')
    const messages: string[] = []
    const prove = async (name: string) => {
      const file = path.join(model.folder, `${name}.tflite`)
      return proveVariant('full_int8', file, await readVariantFile(file), evidence, {
        runtimes: [runtime],
        name: 'full_int8-tried',
        tolerance: { minSnrDb: -1000, minAgreement: 0 },
        goldenOutputsPath,
        onProgress: (_share, message) => messages.push(message)
      })
    }
    const good = await prove('full_int8')
    expect(good).toMatchObject({ state: 'ready', goldenOutputsPath, runtimes: [{ name: 'litert', runnable: true }] })
    expect(good.pictures?.map(({ name, pairs }) => [name, pairs.length])).toEqual([
      ['second', 500],
      ['first', 500]
    ])
    expect(decodeGoldenOutputs(await readFile(goldenOutputsPath))).toMatchObject({
      variant: 'full_int8-tried',
      count: 2
    })
    expect(messages.at(-1)).toBe('full_int8-tried on litert: sample 128 of 128')

    const exchanged = await prove('full_int8@swapped-inputs')
    expect(exchanged).toMatchObject({ state: 'rejected', parity: { passed: false } })
    expect(exchanged.reason).toMatch(/^On generated inputs, .* exchanged/)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
})
