import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { ModelSession, type RuntimeName, startRuntime, type TfliteRuntime } from '@skerry/runtimes'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rows } from '../src/array.ts'
import { outputSamples } from '../src/evidence.ts'
import { parseRecipe, readNpz } from '../src/index.ts'
import { measureOutput } from '../src/parity.ts'
import type { Recipe } from '../src/types.ts'
import { readVariantFile, type VariantFile } from '../src/variant-file.ts'
import { findLiteRt, madeModels } from './real-parts.ts'
import { type Answer, type Job, made, madePath, runJobs } from './recipe-jobs.ts'

const converter = [
  'float32',
  'float16',
  'dynamic_int8',
  'full_int8',
  'full_int8-uint8',
  'full_int8-float',
  'int16x8',
  'dynamic_int8-pertensor',
  'full_int8-pertensor',
  'float32-dynamicbatch',
  'full_int8-dynamicbatch'
]
const quantizer = [
  'dynamic_int8-litertq',
  'dynamic_int8-pertensor-litertq',
  'full_int8-litertq',
  'full_int8-uint8-litertq',
  'full_int8-float-litertq',
  'full_int8-pertensor-litertq',
  'int16x8-litertq'
]
const everything = [...converter, ...quantizer]
const keptFloat: Recipe = {
  ...parseRecipe('full_int8-litertq'),
  name: 'full_int8-litertq-kept',
  floatLayers: ['(^|;)StatefulPartitionedCall(_\\d+)?:0(;|$)']
}
const preprocessing = {
  kernel: 'bilinear',
  fit: 'stretch',
  colors: 'gray',
  scale: 1 / 127.5,
  offset: -1,
  layout: 'nhwc'
}

let scratch: string
let models: string
let first: Answer | undefined
let second: Answer | undefined
let wide: Answer | undefined
const runtimes = new Map<RuntimeName, TfliteRuntime>()

beforeAll(async () => {
  models = await madeModels()
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-recipes-'))
  const job: Omit<Job, 'workDir'> = {
    sourcePath: path.join(models, 'sides.keras'),
    format: 'keras',
    recipes: [...everything, keptFloat],
    calibrationPath: path.join(models, 'sides-calibration.npz'),
    preprocessing,
    labels: ['left', 'right']
  }
  const withData = {
    ...job,
    workDir: path.join(scratch, '1'),
    evaluationPath: path.join(models, 'sides-evaluation.npz')
  }
  const wideJob: Job = {
    sourcePath: path.join(await madeModels('make-recipe-models.py'), 'wide.keras'),
    format: 'keras',
    recipes: ['float32', 'dynamic_int8-litertq', 'full_int8-litertq', 'full_int8-uint8-litertq', 'int16x8-litertq'],
    workDir: path.join(scratch, 'wide')
  }
  ;[first, wide] = await runJobs([withData, wideJob])
  // In a process of its own, and in another order, so that nothing is the same by having been there.
  const again = { ...job, workDir: path.join(scratch, '2'), recipes: [...job.recipes].reverse(), withReference: false }
  ;[second] = await runJobs([again])
  runtimes.set('litert', await startRuntime('litert', await liteRtOptions()))
  runtimes.set('tfjs-tflite', await startRuntime('tfjs-tflite', {}))
}, 120_000)

afterAll(async () => {
  for (const runtime of runtimes.values()) await runtime.close()
  await rm(scratch, { recursive: true, force: true })
})

async function liteRtOptions() {
  const { liteRtLibrary, liteRtVersion } = await findLiteRt()
  return { liteRtLibrary, version: liteRtVersion }
}

const fileOf = (name: string): Promise<VariantFile> => readVariantFile(madePath(first, name))

/** SNR in dB of the variant's answers on a runtime, against the original's. */
async function snrOn(runtimeName: RuntimeName, name: string, answer = first): Promise<number> {
  const { samplesPath, referencePath } = answer?.exported ?? {}
  const samples = (await readNpz(String(samplesPath))).get('x:picture')
  const reference = (await readNpz(String(referencePath))).get('x:right')
  const runtime = runtimes.get(runtimeName)
  if (samples === undefined || reference === undefined || runtime === undefined) throw new Error('nothing to compare')
  const names = { inputs: { picture: 'picture' }, outputs: { right: 'right' } }
  const id = `${runtimeName}-${name}`
  const session = new ModelSession(runtime, id, await runtime.load(id, madePath(answer, name), { threads: 1 }), names)
  const answers = new Float32Array(reference.data.length)
  const count = reference.shape[0] ?? 0
  for (let index = 0; index < count; index++) {
    const { outputs } = await session.run(new Map([['picture', rows(samples, index, index + 1)]]))
    answers.set((outputs.get('right')?.data ?? []) as Float32Array, (index * answers.length) / count)
  }
  await runtime.unload(id)
  const candidate = { name: 'right', dtype: 'float32' as const, shape: reference.shape, data: answers }
  return measureOutput(outputSamples(reference), outputSamples(candidate)).snrDb
}

const leastSnrDb: Record<string, number> = { float32: 80, float16: 30, dynamic_int8: 12, full_int8: 10, int16x8: 12 }

describe('each recipe', () => {
  it.each(everything)('%s answers what the original answers', async (name) => {
    const { variant } = parseRecipe(name)
    const snr = await snrOn('litert', name)
    expect(snr).toBeGreaterThan(leastSnrDb[variant] ?? Number.POSITIVE_INFINITY)
  })

  it.each(everything)('%s has the types, the batch and the names that it stands for', async (name) => {
    const { inputType, batch } = parseRecipe(name)
    const { inputs, outputs, model } = await fileOf(name)
    const type = { float32: 'FP32', int8: 'INT8', uint8: 'UINT8' }[inputType]
    expect(inputs.map((each) => [each.name, each.datatype, each.shape])).toEqual([['picture', type, [1, 8, 8, 1]]])
    expect(outputs.map((each) => [each.name, each.datatype, each.shape])).toEqual([['right', type, [1, 1]]])
    expect(model.inputs[0]?.shapeSignature[0]).toBe(batch === 'fixed' ? 1 : -1)
  })

  it('is made byte for byte again by another process in another order', async () => {
    const sha256 = async (answer: Answer | undefined, name: string) =>
      createHash('sha256')
        .update(await readFile(madePath(answer, name)))
        .digest('hex')
    for (const name of [...everything, keptFloat.name]) {
      expect([name, await sha256(second, name)]).toEqual([name, await sha256(first, name)])
    }
  })

  it('quantizes weights per channel unless told otherwise', async () => {
    // One scale for a tensor is coarser than one for each channel, and its table of scales is smaller.
    for (const name of ['full_int8', 'full_int8-litertq', 'dynamic_int8-litertq']) {
      const perTensor = name.replace(/^(\w+_int8)/, '$1-pertensor')
      expect((await fileOf(perTensor)).bytes, name).toBeLessThan((await fileOf(name)).bytes)
    }
  })

  it('says how it was made: by which way, with which options, from how many samples', () => {
    expect(made(first, 'full_int8-uint8')).toMatchObject({
      options: { way: 'fixed-batch', inputType: 'uint8', calibrationSamples: 80 },
      attempts: [{ way: 'fixed-batch', outcome: 'converted' }]
    })
    expect(made(first, 'int16x8-litertq')).toMatchObject({
      options: { way: 'litert-quantizer', floatWay: 'fixed-batch', calibrationSamples: 80 },
      attempts: [{ way: 'litert-quantizer', outcome: 'converted' }]
    })
  })
})

describe('litert-quantizer', () => {
  it('makes the float32 file for itself where none was asked for', async () => {
    // In the second run the recipes came in reverse: its first is made before any float32.
    const { attempts } = made(second, keptFloat.name)
    expect(attempts.map(({ way }) => way)).toEqual(['fixed-batch', 'litert-quantizer'])
  })

  it.each(['dynamic_int8-litertq', 'full_int8-litertq', 'full_int8-uint8-litertq', 'int16x8-litertq'])(
    '%s of a model with many weights has them within the FlatBuffer, where every runtime finds them',
    async (name) => {
      const { model } = await readVariantFile(madePath(wide, name))
      expect(model.bufferBytes).toBeGreaterThan(256 << 10)
      const least = leastSnrDb[parseRecipe(name).variant] ?? Number.POSITIVE_INFINITY
      expect(await snrOn('litert', name, wide)).toBeGreaterThan(least)
      if (name.startsWith('full')) expect(await snrOn('tfjs-tflite', name, wide)).toBeGreaterThan(least)
    }
  )

  it('gives operators the versions that they need, so that an older runtime refuses what it would answer wrongly', async () => {
    const wasm = runtimes.get('tfjs-tflite')
    const versions = (await fileOf('dynamic_int8-litertq')).operators.map(({ name, version }) => [name, version])
    expect(versions).toContainEqual(['FULLY_CONNECTED', 12])
    expect(versions).toContainEqual(['CONV_2D', 5])
    await expect(wasm?.load('hybrid', madePath(first, 'dynamic_int8-litertq'), { threads: 1 })).rejects.toThrow(
      /FULLY_CONNECTED.*version '12'/
    )
  })

  it('keeps layers float whose outputs the recipe names', async () => {
    expect((await fileOf('full_int8-litertq')).outputs[0]?.datatype).toBe('INT8')
    const { outputs, operators } = await fileOf(keptFloat.name)
    expect(outputs[0]).toMatchObject({ name: 'right', datatype: 'FP32' })
    expect(operators.map(({ name }) => name)).toContain('DEQUANTIZE')
  })
})

describe('a variant as a file', () => {
  it.each(['float32', 'full_int8-uint8', 'int16x8-litertq'])('%s says of itself what it is', async (name) => {
    const { metadata } = await fileOf(name)
    const source = await readFile(path.join(models, 'sides.keras'))
    expect(metadata?.skerry).toMatchObject({
      recipe: name,
      sourceSha256: createHash('sha256').update(source).digest('hex')
    })
    expect(metadata?.skerry?.versions.tensorflow).toMatch(/^\d+\.\d+/)
    expect(metadata?.labels).toEqual(['left', 'right'])
    // (pixel - 127.5) / 127.5 is pixel / 127.5 - 1.
    expect(metadata?.normalization).toEqual({ input: 'picture', mean: [127.5], std: [127.5] })
  })

  it.each(['float32', 'full_int8', 'full_int8-litertq'])(
    '%s runs with its metadata on the older runtime too',
    async (name) => {
      const { variant } = parseRecipe(name)
      expect(await snrOn('tfjs-tflite', name)).toBeGreaterThan(leastSnrDb[variant] ?? Number.POSITIVE_INFINITY)
    }
  )

  it('estimates its work and memory', async () => {
    const { estimate } = await fileOf('float32')
    // 6 x 6 positions x 9 weights x 8 channels, then 288 x 16 and 16.
    expect(estimate.macs).toBe(36 * 9 * 8 + 288 * 16 + 16)
    expect(estimate.peakMemoryBytes).toBeGreaterThan(4 * (9 * 8 + 288 * 16))
  })

  it('without its labels, or with other bytes for metadata, still says the rest', async () => {
    const bytes = await readFile(madePath(first, 'float32'))
    const cut = path.join(scratch, 'cut.tflite')
    await writeFile(cut, bytes.subarray(0, bytes.indexOf('PK\u0003\u0004')))
    expect((await readVariantFile(cut)).metadata).toMatchObject({ skerry: { recipe: 'float32' } })
    expect((await readVariantFile(cut)).metadata?.labels).toBeUndefined()
    const damaged = path.join(scratch, 'damaged.tflite')
    await writeFile(damaged, Buffer.from(bytes.toString('latin1').replace('M001', 'M999'), 'latin1'))
    expect((await readVariantFile(damaged)).metadata).toMatchObject({ skerry: { recipe: 'float32' } })
    expect((await readVariantFile(damaged)).metadata?.normalization).toBeUndefined()
  })
})

describe('what variants are compared with', () => {
  it('has probes beside uploaded data, with the original answers, and none without a reference', async () => {
    const { probesPath, probesReferencePath, data } = first?.exported ?? {}
    expect(data).toBe('uploaded')
    const probes = (await readNpz(String(probesPath))).get('x:picture')
    const answers = (await readNpz(String(probesReferencePath))).get('x:right')
    expect(probes?.shape.slice(1)).toEqual([8, 8, 1])
    expect(answers?.shape).toEqual([probes?.shape[0], 1])
    const edges = [0, 1, 2].map((row) => [...new Set(rows(probes ?? never(), row, row + 1) as Float32Array)])
    expect(edges).toEqual([[0], [1], [-1]])
    expect(second?.exported).toEqual({ exportPath: expect.any(String) })
  })
})

function never(): never {
  throw new Error('no probes')
}
