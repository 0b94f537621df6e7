import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { contentHash } from '../src/content-hash.ts'
import { parseRecipe } from '../src/index.ts'
import { compareRuns, manifestOf } from '../src/reproducibility.ts'
import type { ConversionResult, VariantResult } from '../src/types.ts'

const variant = (name: string, sha256: string, more: Partial<VariantResult> = {}): VariantResult => ({
  variant: name,
  recipe: parseRecipe(name),
  state: 'ready',
  sha256,
  runtimes: [{ name: 'litert', version: '2.3.0', runnable: true }],
  converterOptions: { way: 'fixed-batch' },
  ...more
})

const run = (variants: VariantResult[], more: Partial<ConversionResult> = {}): ConversionResult => ({
  source: { sha256: 'source', bytes: 1, format: 'keras' },
  calibrationSha256: 'calibration',
  versions: { tensorflow: '2.21.0' },
  inputs: [],
  outputs: [],
  names: { inputs: {}, outputs: {} },
  converter: { name: 'tf.lite.TFLiteConverter', version: '2.21.0', options: {} },
  variants,
  goldenInputsPath: '',
  warnings: [],
  timings: {},
  ...more
})

describe('two runs of one conversion', () => {
  const first = run([variant('float32', 'a'), variant('full_int8', 'b'), variant('full_int8-litertq', 'c')])

  it('are the same where the files are', () => {
    expect(compareRuns(first, first).map(({ variant: name, same }) => [name, same])).toEqual([
      ['float32', true],
      ['full_int8', true],
      ['full_int8-litertq', true]
    ])
  })

  it('differ by the step that does not repeat itself', () => {
    const second = run([variant('float32', 'a'), variant('full_int8', 'x'), variant('full_int8-litertq', 'y')])
    expect(compareRuns(first, second)).toMatchObject([
      { same: true },
      { same: false, step: 'converter' },
      { same: false, step: 'quantizer' }
    ])
    const third = run([variant('float32', 'z'), variant('full_int8', 'x'), variant('full_int8-litertq', 'c')])
    expect(compareRuns(first, third)).toMatchObject([
      { same: false, step: 'export' },
      { same: false, step: 'export' },
      { same: true }
    ])
  })

  it('differ by what they were given before anything else', () => {
    const changed = [variant('float32', 'z')]
    const step = (more: Partial<ConversionResult>) => compareRuns(first, run(changed, more))[0]
    expect(step({ source: { sha256: 'other', bytes: 1, format: 'keras' } })).toMatchObject({ step: 'source' })
    expect(step({ calibrationSha256: 'other' })).toMatchObject({ step: 'calibration' })
    expect(step({ versions: { tensorflow: '2.22.0' } })).toMatchObject({
      step: 'versions',
      reason: expect.stringContaining('tensorflow 2.21.0 and 2.22.0')
    })
    const again = (more: Partial<VariantResult>) => compareRuns(first, run([variant('float32', 'z', more)]))[0]
    expect(again({ converterOptions: { way: 'frozen' } })).toMatchObject({ step: 'way' })
    expect(again({ recipe: parseRecipe('float32-dynamicbatch') })).toMatchObject({ step: 'recipe' })
    expect(again({ metadata: { labels: ['other'] } })).toMatchObject({ step: 'metadata' })
  })

  it('leave a manifest of what made each file', () => {
    expect(manifestOf(first)).toMatchObject({
      sourceSha256: 'source',
      calibrationSha256: 'calibration',
      versions: { tensorflow: '2.21.0' },
      runtimes: { litert: '2.3.0' },
      variants: [
        { name: 'float32', way: 'fixed-batch', sha256: 'a' },
        { name: 'full_int8', recipe: { inputType: 'int8' } },
        { name: 'full_int8-litertq', recipe: { engine: 'litert-quantizer' } }
      ]
    })
  })
})

describe('the hash of a source', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'skerry-hash-'))
    await mkdir(path.join(folder, 'model/variables'), { recursive: true })
    await writeFile(path.join(folder, 'model/saved_model.pb'), 'graph')
    await writeFile(path.join(folder, 'model/variables/b-é'), 'values')
    await writeFile(path.join(folder, 'model/variables/a'), '')
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  it('of a file is that of its bytes, and counts them', async () => {
    const [model, graph] = await Promise.all(
      ['model', 'model/saved_model.pb'].map((name) => contentHash(path.join(folder, name)))
    )
    expect([model?.bytes, graph?.bytes]).toEqual([11, 5])
    expect(graph?.sha256).toBe(createHash('sha256').update('graph').digest('hex'))
  })

  it('of a folder changes with a name and with a byte', async () => {
    const model = path.join(folder, 'model')
    const before = await contentHash(model)
    await rename(path.join(model, 'variables/a'), path.join(model, 'variables/c'))
    const renamed = await contentHash(model)
    await writeFile(path.join(model, 'variables/c'), 'x')
    const changed = await contentHash(model)
    expect(new Set([before.sha256, renamed.sha256, changed.sha256]).size).toBe(3)
  })
})
