import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConverterWorker } from '@skerry/converter'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { convertModel, deviationsOf, type ZooContext, type ZooRecord, zooModel } from '../src/index.ts'

const tools = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../.tools')

let context: ZooContext
let worker: ConverterWorker
let workDir: string
let liteRt: { liteRtLibrary: string; liteRtVersion: string }

beforeAll(async () => {
  const paths = JSON.parse(await readFile(path.join(tools, 'paths.json'), 'utf8')) as Record<string, string>
  const { python = '', liteRtLibrary = '', liteRtVersion = '' } = paths
  const zoo = path.join(tools, 'model-zoo')
  context = { python, cacheDir: path.join(zoo, 'cache'), packagesDir: path.join(zoo, 'python'), log: () => undefined }
  liteRt = { liteRtLibrary, liteRtVersion }
  worker = new ConverterWorker({ python })
  workDir = await mkdtemp(path.join(tmpdir(), 'skerry-zoo-'))
})
afterAll(async () => {
  await worker.stop()
  await rm(workDir, { recursive: true, force: true })
})

async function converted(name: string, ...variants: string[]): Promise<ZooRecord> {
  const deps = { python: context.python, ...liteRt, runtimes: ['litert'] as const, worker }
  const options = { deps, variants, workDir, stamp: '', now: () => performance.now() }
  return convertModel(zooModel(name), context, options)
}

const statesOf = ({ rows }: ZooRecord) => rows.map(({ variant, state }) => [variant, state])
const reasonOf = ({ rows }: ZooRecord, variant: string) => rows.find((row) => row.variant === variant)?.reason

// The first run makes the model; later ones find it.
const slow = 120_000

describe('models that others trained', () => {
  it('converts a Keras 2.0.5 file as well as its authors did', { timeout: slow }, async () => {
    const record = await converted('fer-emotion', 'float32', 'dynamic_int8')
    expect(record.refused).toBeUndefined()
    expect(statesOf(record)).toEqual([
      ['float32', 'ready'],
      ['dynamic_int8', 'ready']
    ])
    const [authors, float32, dynamic] = record.oracle
    expect(authors?.file).toBe('the authors')
    expect(float32?.snrDb ?? Number.POSITIVE_INFINITY).toBeGreaterThan(80)
    // Theirs is quantized in the same way.
    expect(dynamic?.snrDb).toBeGreaterThan((authors?.snrDb ?? 0) - 3)
  })

  it('converts a TensorFlow.js graph model', { timeout: slow }, async () => {
    const record = await converted('human-emotion', 'float32', 'full_int8')
    expect(record.refused).toBeUndefined()
    expect(statesOf(record)[0]).toEqual(['float32', 'ready'])
    expect(deviationsOf(zooModel('human-emotion'), record)).toEqual([])
  })

  it('passes a ready .tflite file through, runs it and claims nothing', { timeout: slow }, async () => {
    const record = await converted('mediapipe-face-detection-short-range')
    expect(statesOf(record)).toEqual([['original', 'unproven']])
    expect(reasonOf(record, 'original')).toMatch(/no original to compare it with/)
    expect(record.rows[0]?.runtimes).toMatchObject([{ name: 'litert', runnable: true }])
  })
})

describe('models made for what others lack', () => {
  it('proves a recurrent model with a fixed batch; a dynamic one needs Select TF ops', { timeout: slow }, async () => {
    const record = await converted('lstm', 'float32', 'float32-dynamicbatch')
    expect(statesOf(record)).toEqual([
      ['float32', 'ready'],
      ['float32-dynamicbatch', 'unproven']
    ])
    expect(reasonOf(record, 'float32-dynamicbatch')).toMatch(/Select TF/)
    expect(record.rows[0]?.accuracy?.original).toBeGreaterThan(0.9)
  })

  it('keeps two inputs and two outputs apart by their names', { timeout: slow }, async () => {
    const record = await converted('two-in-two-out', 'float32', 'full_int8')
    expect(statesOf(record)).toEqual([
      ['float32', 'ready'],
      ['full_int8', 'ready']
    ])
  })

  it('converts with Select TF ops, and says that nothing here can run them', { timeout: slow }, async () => {
    const record = await converted('select-tf', 'float32')
    expect(statesOf(record)).toEqual([['float32', 'unproven']])
    expect(reasonOf(record, 'float32')).toMatch(/Select TF/)
  })

  it('converts a vocabulary lookup, and says that no runtime here takes strings', { timeout: slow }, async () => {
    const record = await converted('text-strings', 'float32')
    expect(record.refused).toBeUndefined()
    expect(statesOf(record)).toEqual([['float32', 'unproven']])
    expect(deviationsOf(zooModel('text-strings'), record)).toEqual([])
  })
})
