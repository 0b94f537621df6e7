import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { estimateModel, readTflite } from '@skerry/tflite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readNpz, writeNpz } from '../src/index.ts'
import { findWorstLayers, type LayerWorker } from '../src/layer-errors.ts'
import { diagnosis } from '../src/report/section-breaks.ts'
import { madeModels, python } from './real-parts.ts'

const pythonFolder = fileURLToPath(new URL('../python', import.meta.url))

const program = `
import json, sys
from skerry_converter.layers import layer_errors
from skerry_converter.protocol import Events
layer_errors(json.loads(sys.argv[1]), Events(sys.stdout, 1))
`

/** One process per request: what is tested is the comparison, not the warm process. */
const worker: LayerWorker = {
  async run(request, { signal, onEvent }) {
    const env = { PATH: process.env.PATH ?? '', PYTHONPATH: pythonFolder }
    const args = ['-P', '-s', '-B', '-c', program, JSON.stringify(request)]
    const { stdout } = await promisify(execFile)(python, args, { env, signal, maxBuffer: 64 << 20 })
    for (const line of stdout.split('\n').filter((each) => each.startsWith('{'))) onEvent(JSON.parse(line))
  }
}

let models: string
let scratch: string

beforeAll(async () => {
  models = await madeModels('make-layer-models.py')
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-layers-'))
}, 180_000)

afterAll(() => rm(scratch, { recursive: true, force: true }))

const layersOf = (quantized: string, samplesPath = path.join(models, 'samples.npz')) =>
  findWorstLayers({
    worker,
    floatPath: path.join(models, 'float32.tflite'),
    quantizedPath: path.join(models, quantized),
    samplesPath,
    names: { inputs: { picture: 'image' }, outputs: {} },
    temporaryFolder: scratch,
    signal: new AbortController().signal,
    limit: 16
  })

describe('the layers of a quantized MobileNetV2', () => {
  it('are named by the one whose weights are damaged, though all after it are as wrong', async () => {
    const damaged = await readFile(path.join(models, 'damaged.txt'), 'utf8')
    const [whole, broken] = [await layersOf('full_int8.tflite'), await layersOf('damaged.tflite')]
    expect(broken[0]?.tensor).toBe(damaged)
    expect(broken[0]?.lossDb).toBeGreaterThan(10)
    expect(whole[0]?.tensor).not.toBe(damaged)
    expect(diagnosis(broken)).toMatch(/loses most by itself/)
    expect(diagnosis(whole)).toMatch(/^No single layer is at fault/)

    const at = broken[0]?.position ?? 0
    const before = (layers: typeof whole) =>
      layers.filter(({ position }) => position < at).map(({ tensor, snrDb }) => [tensor, snrDb])
    expect(new Map(before(broken) as [string, number][])).toEqual(new Map(before(whole) as [string, number][]))
    for (const { position, snrDb } of broken) if (position > at) expect(snrDb).toBeLessThan(3)
  }, 60_000)

  it('name the input where the data is beyond what it was calibrated on', async () => {
    const [picture] = [...(await readNpz(path.join(models, 'samples.npz'))).values()]
    if (picture === undefined) throw new Error('no samples')
    const data = Float32Array.from(picture.data as Float32Array, (value) => 20 * value)
    await writeNpz(path.join(scratch, 'far.npz'), [{ ...picture, data }])
    const layers = await layersOf('full_int8.tflite', path.join(scratch, 'far.npz'))
    expect(layers[0]).toMatchObject({ operator: 'INPUT', position: 0, lossDb: null })
    expect(diagnosis(layers)).toMatch(/^The input itself/)
  }, 60_000)

  it('differ in nothing from themselves', async () => {
    const layers = await layersOf('float32.tflite')
    expect(layers.length).toBeGreaterThan(50)
    for (const { snrDb, lossDb } of layers) expect([snrDb, lossDb]).toEqual([null, null])
  }, 60_000)
})

describe('the estimate of MobileNetV2 1.0 for 224 x 224', () => {
  it('has the 300 million multiply-accumulates of its authors', async () => {
    const model = readTflite(await readFile(path.join(models, 'mobilenet-v2.tflite')))
    const { macs, peakMemoryBytes } = estimateModel(model)
    expect(macs / 1e6).toBeCloseTo(300.8, 1)
    // The widest point: 96 channels of 112 x 112 floats, beside the 56 x 56 that the stride makes of them.
    expect(peakMemoryBytes - model.bufferBytes).toBe(4 * 96 * (112 * 112 + 56 * 56))
  })
})
