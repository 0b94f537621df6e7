import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { NamedArray } from '../src/array.ts'
import { writeNpz } from '../src/npz.ts'
import { checkExport } from '../src/reference-engine.ts'
import { madeModels, python } from './real-parts.ts'

let models: string
let scratch: string
beforeAll(async () => {
  models = await madeModels()
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-reference-'))
}, 60_000)
afterAll(() => rm(scratch, { recursive: true, force: true }))

const numbers = Float32Array.from({ length: 10 }, (_, at) => at)
const exact = numbers.map((value) => value * 2)

/** Compares the SavedModel `doubler`, which doubles, with these answers. */
async function check(answers: Pick<NamedArray, 'dtype' | 'data'>, warnings: string[] = []) {
  const workDir = await mkdtemp(path.join(scratch, 'work-'))
  const [samplesPath, referencePath] = [path.join(scratch, 'samples.npz'), path.join(scratch, 'reference.npz')]
  await writeNpz(samplesPath, [{ name: 'x:numbers', dtype: 'float32', shape: [2, 5], data: numbers }])
  await writeNpz(referencePath, [{ name: 'x:doubled', shape: [2, 5], ...answers }])
  const names = { inputs: { numbers: 'numbers' }, outputs: { doubled: 'doubled' } }
  try {
    const request = { exportPath: path.join(models, 'doubler'), samplesPath, referencePath, names }
    const { signal } = new AbortController()
    return await checkExport(request, { python, workDir, signal, onWarning: (message) => warnings.push(message) })
  } finally {
    expect(await readdir(workDir)).toEqual([])
  }
}

it('an export that answers as the original did agrees', async () => {
  expect(await check({ dtype: 'float32', data: exact })).toMatchObject({
    engine: 'tfjs-node',
    samples: 2,
    maxAbsError: 0
  })
}, 30_000)

it('an export that answers otherwise is refused, by how much', async () => {
  const data = exact.slice()
  data[7] = 14.01
  await expect(check({ dtype: 'float32', data })).rejects.toMatchObject({
    code: 'export-disagrees',
    message: expect.stringContaining('differs from the original by 1.00e-2 in 2 samples')
  })
}, 30_000)

it('what the engine has no types for is not checked, and that is said', async () => {
  const warnings: string[] = []
  expect(await check({ dtype: 'float64', data: Float64Array.from(exact) }, warnings)).toBeUndefined()
  expect(warnings).toEqual([expect.stringMatching(/not checked.*float64, the type of doubled/)])
}, 30_000)
