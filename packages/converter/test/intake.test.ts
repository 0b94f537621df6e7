import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toNumbers } from '../src/array.ts'
import { detectSourceFormat, readNpz, writeNpz } from '../src/index.ts'
import { sourceFiles } from '../src/source-format.ts'
import { type Loaded, loadModels, type ModelToLoad } from './load-models.ts'
import { madeModels, runPython } from './real-parts.ts'
import { answersOf, humanModel, madeLayersModel, nsfwModel } from './tensorflow-js.ts'

let models: string
let scratch: string
beforeAll(async () => {
  models = await madeModels('make-intake-models.py')
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-intake-test-'))
}, 120_000)
afterAll(() => rm(scratch, { recursive: true }))

const numbersOf = ({ answers }: Loaded, name: string): Float64Array => {
  const found = answers?.get(name)
  if (found === undefined) throw new Error(`no ${name}`)
  return toNumbers(found.dtype, found.data)
}

/** The largest difference, as a share of the range of what is expected. */
const difference = (found: ArrayLike<number>, expected: ArrayLike<number>): number => {
  expect(found.length).toBe(expected.length)
  const wanted = Array.from(expected)
  const range = Math.max(...wanted) - Math.min(...wanted) || Math.max(...wanted.map(Math.abs))
  return Math.max(...wanted.map((value, index) => Math.abs(value - (found[index] as number)))) / range
}

describe('models that users bring', () => {
  const file = (name: string, format: ModelToLoad['format'], more: Partial<ModelToLoad> = {}): ModelToLoad => ({
    path: path.join(models, name),
    format,
    ...more
  })
  const withValues = (name: string, format: ModelToLoad['format'], data: string) =>
    file(name, format, { valuesPath: path.join(models, `${data}-inputs.npz`) })
  let loaded: Map<string, Loaded>
  beforeAll(async () => {
    const all = [
      withValues('nested.keras', 'keras', 'nested'),
      withValues('nested-3.h5', 'h5', 'nested'),
      withValues('nested-2.h5', 'h5', 'nested'),
      withValues('text.keras', 'keras', 'text'),
      withValues('vocabulary.zip', 'savedmodel', 'vocabulary'),
      withValues('old.zip', 'savedmodel', 'old'),
      file('several.zip', 'savedmodel', { signature: 'negate' }),
      file('several.tar', 'savedmodel', { signature: 'multiply' }),
      file('several.tar.gz', 'savedmodel', { signature: 'multiply' }),
      file('several', 'savedmodel', { signature: 'multiply' }),
      file('zip64.zip', 'savedmodel', { signature: 'nothing' })
    ]
    const results = await loadModels(all)
    loaded = new Map(results.map((each) => [path.basename(each.path), each]))
  }, 60_000)
  const get = (name: string): Loaded => {
    const found = loaded.get(name)
    if (found === undefined) throw new Error(`no ${name}`)
    return found
  }

  it('answer what they answered before they were saved: Keras 3, .h5 of Keras 2 and 3, texts, tables, TensorFlow 1', async () => {
    for (const [name, data] of [
      ['nested.keras', 'nested'],
      ['nested-3.h5', 'nested'],
      ['nested-2.h5', 'nested'],
      ['text.keras', 'text'],
      ['vocabulary.zip', 'vocabulary'],
      ['old.zip', 'old']
    ] as const) {
      expect([name, get(name).message]).toEqual([name, undefined])
      const expected = await readNpz(path.join(models, `${data}-outputs.npz`))
      for (const [output, { dtype, data: values }] of expected) {
        expect(difference(numbersOf(get(name), output), toNumbers(dtype, values)), name).toBeLessThan(1e-6)
      }
    }
  })

  it('keep their names, types and open dimensions', () => {
    expect(get('text.keras').inputs).toEqual([
      { name: 'text', dtype: 'string', shape: [-1, 1] },
      { name: 'number', dtype: 'int32', shape: [-1, 2] }
    ])
    expect(get('nested-2.h5').names).toEqual({
      inputs: { pictures: 'pictures', steps: 'steps' },
      outputs: { answer: 'answer' }
    })
  })

  it('may have several signatures, of which one is chosen by name, in any archive or a folder', () => {
    expect(get('several.zip').inputs).toEqual([{ name: 'n', dtype: 'int64', shape: [-1, 2] }])
    for (const name of ['several.tar', 'several.tar.gz', 'several']) {
      expect([name, get(name).inputs]).toEqual([name, [{ name: 'x', dtype: 'float32', shape: [-1, 2] }]])
      expect(get(name).signatures).toEqual(['multiply', 'negate'])
    }
    expect(get('zip64.zip')).toMatchObject({ code: 'unknown-signature' })
    expect(get('zip64.zip').message).toContain('multiply, negate')
  })

  it('are told apart by what is in them', async () => {
    const expected = {
      'several.zip': 'savedmodel',
      'several.tar': 'savedmodel',
      'several.tar.gz': 'savedmodel'
    } as const
    for (const [name, format] of Object.entries({ ...expected, several: 'savedmodel', 'zip64.zip': 'savedmodel' })) {
      expect([name, await detectSourceFormat(path.join(models, name))]).toEqual([name, format])
    }
    expect(await detectSourceFormat(path.join(models, 'text.keras'))).toBe('keras')
    await expect(detectSourceFormat(scratch)).rejects.toMatchObject({ code: 'not-a-model' })
  })
})

describe('TensorFlow.js models', () => {
  it("answer what TensorFlow.js answers, within 1e-4 of the output's range", async () => {
    const nsfw = path.join(scratch, 'nsfw')
    const made = path.join(scratch, 'made')
    const steps = path.join(scratch, 'made.npz')
    const values = (count: number) => Float32Array.from({ length: count }, (_, index) => Math.sin(index * 0.7))
    await writeNpz(steps, [
      { name: 'pictures', dtype: 'float32', shape: [2, 8, 8, 3], data: values(2 * 8 * 8 * 3) },
      { name: 'steps', dtype: 'float32', shape: [2, 5, 3], data: values(2 * 5 * 3) }
    ])
    await nsfwModel('mobilenet_v2', nsfw)
    await madeLayersModel(made)
    const cases = [
      // Weights of 8 bits; made by TensorFlow.js itself; a plain graph; weights of 16 bits, fused; batch normalization apart.
      { folder: nsfw, valuesPath: path.join(models, 'face-224.npz') },
      { folder: made, valuesPath: steps },
      ...(await Promise.all(
        [['emotion', 64] as const, ['antispoof', 128] as const, ['liveness', 32] as const].map(async ([name, size]) => {
          const folder = path.join(scratch, name)
          await humanModel(name, folder)
          return { folder, valuesPath: path.join(models, `face-${size}.npz`) }
        })
      ))
    ]
    const loaded = await loadModels(
      cases.map(({ folder, valuesPath }) => ({ path: folder, format: 'tfjs', valuesPath }))
    )
    for (const [index, { folder, valuesPath }] of cases.entries()) {
      const each = loaded[index] as Loaded
      expect([folder, each.message]).toEqual([folder, undefined])
      const own = await answersOf(folder, [...(await readNpz(valuesPath)).values()])
      const names = (each.outputs ?? []).map(({ name }) => name)
      expect(own.size).toBe(names.length)
      for (const [place, expected] of [...own.values()].entries()) {
        const error = difference(numbersOf(each, names[place] ?? ''), [...expected])
        expect(error, `${path.basename(folder)}: ${names[place]}`).toBeLessThan(1e-4)
      }
    }
    expect(loaded[1]?.inputs?.map(({ name }) => name)).toEqual(['pictures', 'steps'])
    expect(loaded[3]?.names?.outputs).toEqual({ activation_4: 'activation_4' })
  }, 120_000)

  it('are read as a folder, by their model.json, and from each kind of archive', async () => {
    const folder = path.join(scratch, 'packed', 'liveness')
    await humanModel('liveness', folder)
    const program =
      'import shutil, sys; [shutil.make_archive(sys.argv[1], kind, sys.argv[1]) for kind in ("zip", "tar", "gztar")]'
    await runPython('-c', program, folder)
    const paths = [
      folder,
      path.join(folder, 'model.json'),
      ...['zip', 'tar', 'tar.gz'].map((end) => `${folder}.${end}`)
    ]
    for (const each of paths) expect([each, await detectSourceFormat(each)]).toEqual([each, 'tfjs'])
    for (const each of await loadModels(paths.map((target) => ({ path: target, format: 'tfjs' })))) {
      expect([each.path, each.inputs]).toEqual([
        each.path,
        [{ name: 'conv2d_1_input', dtype: 'float32', shape: [-1, 32, 32, 3] }]
      ])
    }
    expect((await sourceFiles(paths[1] ?? '', 'tfjs')).map((name) => path.basename(name))).toEqual([
      'model.json',
      'liveness.bin'
    ])
  }, 60_000)
})
