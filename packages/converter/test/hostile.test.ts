import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { conversionErrorCodes, detectSourceFormat } from '../src/index.ts'
import { type Loaded, loadModels, type ModelToLoad } from './load-models.ts'
import { madeModels, runPython } from './real-parts.ts'

const here = import.meta.dirname
let archives: string
let models: string
let scratch: string
beforeAll(async () => {
  archives = await madeModels('make-hostile-archives.py')
  models = await madeModels('make-hostile-models.py')
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-hostile-test-'))
}, 120_000)
afterAll(() => rm(scratch, { recursive: true }))

const formatOf = (name: string): ModelToLoad['format'] => {
  if (name.endsWith('.keras')) return 'keras'
  if (name.endsWith('.h5')) return 'h5'
  return name.endsWith('.tar.gz') ? 'savedmodel' : 'tfjs'
}

/** What came of each file that is called <code>--<words of the message>--<what>, beside what its name says. */
async function outcomes(folder: string, format: (name: string) => ModelToLoad['format']) {
  const names = (await readdir(folder)).sort()
  const loaded = await loadModels(names.map((name) => ({ path: path.join(folder, name), format: format(name) })))
  return loaded.map((each: Loaded, index) => {
    const [code = '', ...rest] = (names[index] ?? '').split('--')
    return { name: names[index], code, words: rest.length > 1 ? (rest[0] ?? '') : '', each }
  })
}

describe('hostile files', () => {
  it('archives that would get out, or fill the machine, are refused and leave nothing', async () => {
    const all = await outcomes(archives, () => 'savedmodel')
    expect(all.length).toBeGreaterThan(35)
    for (const { name, code, each } of all) expect([name, each.code, each.left]).toEqual([name, code, []])
  }, 60_000)

  it('models that would run code or reach files are refused with the name of the layer or operator', async () => {
    const all = await outcomes(models, formatOf)
    expect(all.length).toBeGreaterThan(60)
    for (const { name, code, words, each } of all) {
      expect([name, each.code, each.left]).toEqual([name, code, []])
      expect(each.message, name).toContain(words)
      expect(Object.hasOwn(conversionErrorCodes, each.code ?? '')).toBe(true)
    }
    expect((await readdir('/tmp')).filter((name) => name.startsWith('skerry-hostile-x'))).toEqual([])
  }, 120_000)

  it('no archive of them is told to be what it is not', async () => {
    const formats = new Set<string>()
    for (const name of await readdir(models)) {
      const found = await detectSourceFormat(path.join(models, name)).catch(({ code }: { code: string }) => code)
      if (found !== 'not-a-model') expect([name, found]).toEqual([name, formatOf(name)])
      formats.add(found)
    }
    expect([...formats].sort()).toEqual(['h5', 'keras', 'savedmodel', 'tfjs'])
  })

  it("of the installed TensorFlow's operators none is let through that reads or writes files", async () => {
    const passing = JSON.parse(await runPython(path.join(here, 'check-operators.py'))) as {
      count: number
      fileLike: string[]
      stateful: string[]
    }
    expect(passing.count).toBeGreaterThan(1500)
    expect(passing.fileLike).toEqual([])
    expect(passing.stateful).toContain('VarHandleOp')
    expect(passing.stateful.filter((name) => /Dataset(V\d)?$/.test(name))).toEqual([
      'RangeDataset',
      'ReduceDataset',
      'SparseTensorSliceDataset',
      'TensorDataset',
      'TensorSliceDataset'
    ])
  }, 60_000)

  it('shards that are links out of a folder are refused', async () => {
    const folder = await mkdtemp(path.join(scratch, 'links-'))
    const shard = { paths: ['shard'], weights: [{ name: 'w', shape: [4], dtype: 'float32' }] }
    await writeFile(
      path.join(folder, 'model.json'),
      JSON.stringify({ modelTopology: { node: [] }, weightsManifest: [shard] })
    )
    await symlink('/etc/passwd', path.join(folder, 'shard'))
    const [loaded] = await loadModels([{ path: folder, format: 'tfjs' }])
    expect(loaded).toMatchObject({ code: 'unsafe-archive' })
    expect(loaded?.message).toContain('shard')
  }, 30_000)
})

describe('archives and HDF5 files that were damaged', () => {
  it('are read or refused, in bounded time and memory, and leave nothing behind', async () => {
    const real = await madeModels('make-intake-models.py')
    const names = ['several.zip', 'several.tar', 'several.tar.gz', 'zip64.zip', 'nested.keras', 'nested-3.h5']
    const paths = JSON.stringify(names.map((name) => path.join(real, name)))
    const script = path.join(here, 'fuzz-archives.py')
    const { outcomes, faults, peakBytes } = JSON.parse(await runPython(script, paths, '150', '7')) as {
      outcomes: Record<string, number>
      faults: string[]
      peakBytes: number
    }
    expect(faults).toEqual([])
    expect(Object.keys(outcomes).sort()).toEqual(['not-a-model', 'read', 'unsafe-archive'])
    expect(Object.values(outcomes).reduce((sum, count) => sum + count)).toBe(150 * names.length)
    expect(peakBytes).toBeLessThan(256 << 20)
  }, 120_000)
})
