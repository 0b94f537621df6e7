import { mkdtemp, readdir, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startRuntime, type TfliteRuntime, type WeightCache } from '../src/index.ts'
import { findLiteRt, packagedModel } from './python-reference.ts'

const model = packagedModel('@mediapipe/face_detection', 'face_detection_short_range.tflite')
const otherModel = packagedModel('@mediapipe/hands', 'hand_landmark_lite.tflite')

let runtime: TfliteRuntime
let folder: string
let file: string
let expected: Uint8Array[]

beforeAll(async () => {
  runtime = await startRuntime('litert', await findLiteRt())
  expected = await answers()
})

afterAll(() => runtime.close())

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'skerry-weights-'))
  file = path.join(folder, 'weights')
  return () => rm(folder, { recursive: true })
})

async function answers(weightCache?: WeightCache): Promise<Uint8Array[]> {
  const { inputs, outputs } = await runtime.load('m', model, weightCache === undefined ? {} : { weightCache })
  const input = new Uint8Array(Float32Array.from({ length: 128 * 128 * 3 }, (_, at) => Math.sin(at / 9)).buffer)
  const answer = await runtime.invoke('m', new Map([[inputs[0]?.name ?? '', input]]))
  await runtime.unload('m')
  return outputs.map(({ name }) => answer.outputs.get(name) ?? new Uint8Array(0))
}

describe('packed weights that are kept', () => {
  it('are written once, whole, and used by the next load', async () => {
    expect(await answers({ file, key: 'a' })).toEqual(expected)
    expect((await readdir(folder)).sort()).toEqual(['weights', 'weights.json'])
    const written = await stat(file)
    expect(written.size).toBeGreaterThan(100_000)
    expect(await answers({ file, key: 'a' })).toEqual(expected)
    const { ino, mtimeMs } = await stat(file)
    expect([ino, mtimeMs]).toEqual([written.ino, written.mtimeMs])
  })

  it('are those that the next load computes with', async () => {
    await answers({ file, key: 'a' })
    const { mtime } = await stat(file)
    const weights = await readFile(file)
    await writeFile(file, weights.fill(0, weights.length >> 2, weights.length >> 1))
    await utimes(file, mtime, mtime)
    const kept = JSON.parse(await readFile(`${file}.json`, 'utf8')) as Record<string, unknown>
    await writeFile(`${file}.json`, JSON.stringify({ ...kept, mtimeMs: (await stat(file)).mtimeMs }))
    expect(await answers({ file, key: 'a' })).not.toEqual(expected)
  })

  it.each([
    [
      'belong to another model',
      async () => {
        await runtime.load('other', otherModel, { weightCache: { file, key: 'other' } })
        await runtime.unload('other')
      }
    ],
    [
      'are cut short',
      async () => {
        await answers({ file, key: 'a' })
        await truncate(file, 1000)
      }
    ],
    [
      'lost their description',
      async () => {
        await answers({ file, key: 'a' })
        await rm(`${file}.json`)
      }
    ]
  ])('are made anew where they %s', async (_, spoil) => {
    await spoil()
    const before = await stat(file)
    expect(await answers({ file, key: 'a' })).toEqual(expected)
    expect((await stat(file)).ino).not.toBe(before.ino)
    expect((await readdir(folder)).sort()).toEqual(['weights', 'weights.json'])
    expect(await answers({ file, key: 'a' })).toEqual(expected)
  })

  it('cost nothing but the gain where they cannot be written', async () => {
    expect(await answers({ file: path.join(folder, 'absent/weights'), key: 'a' })).toEqual(expected)
    expect(await readdir(folder)).toEqual([])
  })
})
