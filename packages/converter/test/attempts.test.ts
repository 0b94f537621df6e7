import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readVariantFile, selectTfOperators } from '../src/variant-file.ts'
import { madeModels, runPython } from './real-parts.ts'
import { type Answer, made, madePath, runJobs } from './recipe-jobs.ts'

type Checked = {
  model: string
  way: string
  recipe: string
  /** Over all outputs, as a share of the range of the original's answers. */
  error?: number
  failure?: string
  /** Shape, and whether a dimension is open. */
  inputs?: Record<string, [number[], boolean]>
  outputs?: Record<string, [number[], boolean]>
}

let scratch: string
let checked: Checked[]
let lost: Record<string, unknown>
let answers: Record<'gru' | 'lstm' | 'words' | 'determinant' | 'texts', Answer>

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-attempts-'))
  const [models, recipeModels] = [await madeModels(), await madeModels('make-recipe-models.py')]
  const model = (name: string) => path.join(name.startsWith('sides') || has(name) ? models : recipeModels, name)
  const ways = [
    { path: model('pair.keras'), format: 'keras', recipes: ['float32', 'full_int8'] },
    { path: model('sides.keras'), format: 'keras', dynamic: true },
    { path: model('slots.tar.gz'), format: 'savedmodel' },
    { path: model('sides.keras'), format: 'keras', loseWeights: true }
  ]
  const script = path.join(import.meta.dirname, 'check-ways.py')
  const said = await runPython(script, JSON.stringify(ways), path.join(scratch, 'ways'))
  const lines = said.split('\n').filter((line) => line !== '')
  checked = lines.slice(0, -1).map((line) => JSON.parse(line) as Checked)
  lost = JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown>

  const job = (name: string, format: 'keras' | 'savedmodel', recipes: string[]) => ({
    sourcePath: model(name),
    format,
    recipes,
    workDir: path.join(scratch, name)
  })
  const [gru, lstm, words, determinant, texts] = await runJobs([
    job('gru.keras', 'keras', ['float32', 'dynamic_int8', 'float32-dynamicbatch']),
    job('lstm.keras', 'keras', ['float32', 'dynamic_int8-litertq', 'full_int8-litertq']),
    {
      ...job('words.keras', 'keras', ['full_int8', 'full_int8-uint8']),
      evaluationPath: path.join(recipeModels, 'words-evaluation.npz')
    },
    job('determinant.tar.gz', 'savedmodel', ['float32', 'full_int8']),
    job('texts.tar.gz', 'savedmodel', ['float32'])
  ])
  if (!gru || !lstm || !words || !determinant || !texts) throw new Error('a job gave no answer')
  answers = { gru, lstm, words, determinant, texts }
}, 120_000)

afterAll(() => rm(scratch, { recursive: true, force: true }))

const has = (name: string) => ['pair.keras', 'slots.tar.gz', 'lstm.keras'].includes(name)
const waysOf = (model: string, recipe: string) =>
  checked.filter((each) => each.model === model && each.recipe === recipe).map(({ way }) => way)

describe('each way alone', () => {
  it('is tried in the stated order for each kind of source', () => {
    expect(waysOf('pair', 'float32')).toEqual(['fixed-batch', 'keras', 'v1-saved-model', 'frozen'])
    expect(waysOf('sides', 'float32')).toEqual(['open-batch', 'keras', 'v1-saved-model', 'frozen'])
    // An uploaded SavedModel is also read as it is, where its loader kept it.
    const expected = expect.arrayContaining(['fixed-batch', 'v1-saved-model', 'frozen'])
    expect(waysOf('slots', 'float32')).toEqual(expected)
  })

  it('gives a file that answers what the original answers, each output under its own name', () => {
    const works = checked.filter(({ failure }) => failure === undefined)
    expect(works.length).toBeGreaterThanOrEqual(14)
    for (const { model, way, recipe, error = Number.NaN } of works) {
      // Swapped inputs or outputs, which have equal shapes, are wrong by most of the range.
      expect(error, `${model} ${way} ${recipe}`).toBeLessThan(recipe === 'float32' ? 1e-5 : 0.05)
    }
  })

  it('restores the names of inputs and outputs that it loses', () => {
    for (const { way, inputs, outputs } of checked.filter(({ model }) => model === 'pair')) {
      expect(Object.keys(inputs ?? {}).sort(), way).toEqual(['input_tensor_1', 'zeta'])
      expect(Object.keys(outputs ?? {}).sort(), way).toEqual(['first', 'second'])
    }
  })

  it('leaves the batch open for a recipe that asks for it, and only then', () => {
    for (const { model, way, inputs, outputs, failure } of checked) {
      if (failure !== undefined) continue
      for (const [shape, isOpen] of [...Object.values(inputs ?? {}), ...Object.values(outputs ?? {})]) {
        expect([model, way, shape[0], isOpen]).toEqual([model, way, 1, model === 'sides'])
      }
    }
  })

  it('converts a SavedModel that keeps the slots of an old optimizer, and says which way cannot', () => {
    const slots = checked.filter(({ model }) => model === 'slots')
    expect(slots.find(({ way }) => way === 'v1-saved-model')?.error).toBeLessThan(1e-6)
    for (const { way, failure } of slots.filter((each) => each.failure !== undefined)) {
      expect(['saved-model', 'frozen'], failure).toContain(way)
    }
  })
})

it('a file without its weights, which the converter writes with no error, is not taken', () => {
  expect(lost).toMatchObject({ lost: true, why: expect.stringMatching(/weights are lost/) })
})

describe('recurrent layers', () => {
  it('convert with a batch of 1 to operators that runtimes have', async () => {
    for (const [answer, name] of [
      [answers.gru, 'float32'],
      [answers.gru, 'dynamic_int8'],
      [answers.lstm, 'float32'],
      [answers.lstm, 'dynamic_int8-litertq']
    ] as const) {
      const file = await readVariantFile(madePath(answer, name))
      expect(file.operators.filter(({ custom }) => custom)).toEqual([])
      expect(file.inputs[0]?.shape[0]).toBe(1)
    }
  })

  it('with an open batch need TensorFlow operators: every way is tried, and the log says why each failed', async () => {
    const { attempts, options } = made(answers.gru, 'float32-dynamicbatch')
    expect(attempts.map(({ way, outcome }) => [way, outcome])).toEqual([
      ['open-batch', 'failed'],
      ['keras', 'failed'],
      ['v1-saved-model', 'failed'],
      ['frozen', 'failed'],
      ['select-tf-ops', 'converted']
    ])
    expect(attempts[0]?.error).toMatch(/TensorListReserve/)
    expect(options?.selectTfOps).toContain('FlexTensorListReserve')
    const file = await readVariantFile(madePath(answers.gru, 'float32-dynamicbatch'))
    expect(selectTfOperators(file)).toContain('FlexTensorListReserve')
    expect(file.inputs.map(({ name }) => name)).toEqual(['steps'])
  })

  it('are not quantized statically by litert-quantizer, which fails that variant alone', () => {
    expect(made(answers.lstm, 'full_int8-litertq')).toMatchObject({
      error: expect.any(String),
      attempts: [{ way: 'litert-quantizer', outcome: 'failed', error: expect.any(String) }]
    })
  })
})

it('an operator that TFLite lacks is named in the first line', async () => {
  const { attempts } = made(answers.determinant, 'float32')
  expect(attempts[0]).toMatchObject({ way: 'fixed-batch', outcome: 'failed' })
  expect(attempts[0]?.error).toMatch(/^TFLite has no operator of its own for MatrixDeterminant\.\n/)
  expect(attempts.at(-1)).toMatchObject({ way: 'select-tf-ops', outcome: 'converted' })
  const file = await readVariantFile(madePath(answers.determinant, 'float32'))
  expect(selectTfOperators(file)).toEqual(['FlexMatrixDeterminant'])
  expect(file.outputs.map(({ name }) => name).sort()).toEqual(['determinant', 'twice'])
})

it('text goes in as text', async () => {
  const file = await readVariantFile(madePath(answers.texts, 'float32'))
  expect(file.inputs).toMatchObject([{ name: 'texts', datatype: 'STRING', shape: [1, 2] }])
  expect(answers.texts.described).toMatchObject({ inputs: [{ name: 'texts', dtype: 'string', shape: [-1, 2] }] })
})

it('whole numbers that are places in a table stay whole numbers when everything else becomes int8', async () => {
  for (const [name, type] of [
    ['full_int8', 'INT8'],
    ['full_int8-uint8', 'UINT8']
  ] as const) {
    const { inputs, outputs } = await readVariantFile(madePath(answers.words, name))
    expect(inputs).toMatchObject([{ name: 'words', datatype: 'INT32', shape: [1, 5] }])
    expect(outputs).toMatchObject([{ name: 'topic', datatype: type }])
  }
})
