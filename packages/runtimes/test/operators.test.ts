import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { builtinOperators, readTflite } from '@skerry/tflite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runtimeNames, type StartRuntimeOptions, startRuntime, type TfliteRuntime } from '../src/index.ts'
import { hasOperator, probeModel } from '../src/operator-probe.ts'
import { operatorVersions } from '../src/operator-versions.ts'
import { describeMissing, missingOperators, probedVersion, supportedOperators } from '../src/operators.ts'
import { findLiteRt, madeModels, packagedModel } from './python-reference.ts'

let options: StartRuntimeOptions
let folder: string

beforeAll(async () => {
  options = await findLiteRt()
  folder = await mkdtemp(path.join(tmpdir(), 'skerry-operators-'))
})

afterAll(() => rm(folder, { recursive: true }))

// Those that the variants of a converted model use, and those whose border differs between the runtimes.
const probed = [
  'ADD',
  'BROADCAST_TO',
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'DEQUANTIZE',
  'FULLY_CONNECTED',
  'LOGISTIC',
  'MEAN',
  'QUANTIZE',
  'STABLEHLO_ADD',
  'UNIDIRECTIONAL_SEQUENCE_LSTM',
  'WHILE'
]

for (const name of runtimeNames) {
  describe(`the table of ${name}`, () => {
    let runtime: TfliteRuntime

    beforeAll(async () => {
      runtime = await startRuntime(name, options)
    })

    afterAll(() => runtime.close())

    it('was taken from the version that runs here', () => {
      expect(probedVersion(name)).toBe(runtime.info.version)
    })

    it.each(probed)('has the border of %s where the runtime has it', async (operator) => {
      const builtinCode = builtinOperators.indexOf(operator)
      const [first, last] = operatorVersions[name].builtins[operator] ?? [1, 0]
      expect(supportedOperators(name).get(operator) ?? 0).toBe(last)
      for (let version = 1; version <= last + 2; version++) {
        const known = version >= first && version <= last
        expect(await hasOperator(runtime, folder, { builtinCode, version }), `version ${version}`).toBe(known)
        const use = { name: operator, version, custom: false, count: 1 }
        expect(missingOperators(name, [use]).length).toBe(known ? 0 : 1)
      }
    })

    it.each(['Convolution2DTransposeBias', 'FlexErf', 'NoSuchOperator'])('is right about %s', async (customCode) => {
      const known = await hasOperator(runtime, folder, { customCode, version: 1 })
      expect(missingOperators(name, [{ name: customCode, version: 1, custom: true, count: 1 }]).length).toBe(
        known ? 0 : 1
      )
      expect(known).toBe(name === 'litert' && customCode === 'Convolution2DTransposeBias')
    })
  })
}

describe('missingOperators', () => {
  it('decides by the file alone that dynamic-range int8 runs on litert only', async () => {
    const file = await readFile(path.join(await madeModels(), 'dynamic-int8.tflite'))
    const { operators } = readTflite(file)
    expect(missingOperators('litert', operators)).toEqual([])
    expect(missingOperators('tfjs-tflite-node', operators)).toEqual([
      { name: 'FULLY_CONNECTED', version: 12, supportedVersion: 9 }
    ])
    const missing = missingOperators('tfjs-tflite', operators)
    expect(missing).toEqual([{ name: 'FULLY_CONNECTED', version: 12, supportedVersion: 9 }])
    expect(describeMissing('tfjs-tflite', missing)).toBe(
      'tfjs-tflite 0.0.1-alpha.10 has no FULLY_CONNECTED version 12 (it knows up to 9)'
    )
  }, 120_000)

  it('tells a custom operator from a builtin of the same name', () => {
    expect(missingOperators('litert', [{ name: 'ADD', version: 1, custom: true, count: 1 }])).toEqual([
      { name: 'ADD', version: 1, supportedVersion: null }
    ])
  })

  it('agrees with what the runtimes make of real models', async () => {
    const read = async (name: string, file: string) => readTflite(await readFile(packagedModel(name, file))).operators
    const face = await read('@mediapipe/face_detection', 'face_detection_full_range_sparse.tflite')
    const selfie = await read('@mediapipe/selfie_segmentation', 'selfie_segmentation.tflite')
    expect(missingOperators('tfjs-tflite', face)).toEqual([])
    expect(missingOperators('tfjs-tflite-node', face)).toEqual([])
    expect(describeMissing('tfjs-tflite', missingOperators('tfjs-tflite', selfie))).toBe(
      'tfjs-tflite 0.0.1-alpha.10 has no Convolution2DTransposeBias'
    )
    expect(describeMissing('litert', missingOperators('litert', selfie))).toBe('')
  })

  it('probes with models that the reader understands', () => {
    const { operators } = readTflite(probeModel({ customCode: 'NoSuchOperator', version: 3 }))
    expect(operators).toContainEqual({ name: 'NoSuchOperator', version: 3, custom: true, count: 1 })
    const { operators: builtin } = readTflite(probeModel({ builtinCode: 150, version: 2 }))
    expect(builtin).toContainEqual({ name: 'GELU', version: 2, custom: false, count: 0 })
  })
})
