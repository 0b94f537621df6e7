import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { ModelSession, startRuntime } from '@skerry/runtimes'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type ConversionProgress,
  type ConversionResult,
  compareGolden,
  decodeGoldenInputs,
  decodeGoldenOutputs,
  goldenInput,
  readNpz,
  VARIANT_NAMES
} from '../src/index.ts'
import { type Bench, named, openBench } from './conversion-bench.ts'

let bench: Bench
let models: string
let scratch: string
beforeAll(async () => {
  bench = await openBench()
  models = bench.models
  scratch = bench.scratch
}, 60_000)
afterAll(() => bench.close())

describe('a trained model with evaluation data', () => {
  let result: ConversionResult
  const progress: ConversionProgress[] = []
  beforeAll(async () => {
    result = await bench.run(
      {
        variants: VARIANT_NAMES,
        calibrationPath: path.join(models, 'sides-calibration.npz'),
        evaluationPath: path.join(models, 'sides-evaluation.npz')
      },
      { runtimes: ['litert', 'tfjs-tflite'], onProgress: (each) => progress.push(each) }
    )
  }, 90_000)

  it('makes every variant, proven on the runtimes that can run it', () => {
    const states = result.variants.map(({ variant, state, reason }) => [variant, state, reason])
    expect(states).toEqual(VARIANT_NAMES.map((name) => [name, 'ready', undefined]))
    for (const { runtimes } of result.variants) {
      expect(runtimes.map(({ name }) => name)).toEqual(['litert', 'tfjs-tflite'])
      expect(runtimes[0]).toMatchObject({ runnable: true, parity: { data: 'uploaded', samples: 96, passed: true } })
    }
  })

  it('says why a runtime cannot run a variant', () => {
    const wasm = named(result, 'dynamic_int8').runtimes[1]
    expect(wasm?.runnable).toBe(false)
    expect(wasm?.reason).toMatch(/FULLY_CONNECTED version 12/)
  })

  it('describes the original, the reference and the second engine that agrees with it', () => {
    expect(result.inputs).toEqual([{ name: 'picture', datatype: 'FP32', shape: [-1, 8, 8, 1] }])
    expect(result.outputs).toEqual([{ name: 'right', datatype: 'FP32', shape: [-1, 1] }])
    expect(result.reference).toMatchObject({ name: 'keras', agreement: { engine: 'tfjs-node', samples: 96 } })
    expect(result.reference?.agreement?.maxAbsError).toBeLessThanOrEqual(1e-5)
    expect(named(result, 'full_int8').inputs?.[0]).toMatchObject({ name: 'picture', datatype: 'INT8' })
    expect(named(result, 'float32').parity?.accuracy?.original).toBeGreaterThan(0.9)
  })

  it('keeps eight golden inputs, and the answers of each variant, which differ', async () => {
    const inputs = decodeGoldenInputs(await readFile(result.goldenInputsPath))
    expect(inputs.tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ['picture', 'float32', [8, 8, 8, 1]]
    ])
    for (const { variant, goldenOutputsPath } of result.variants) {
      const golden = decodeGoldenOutputs(await readFile(goldenOutputsPath ?? ''))
      expect(golden).toMatchObject({ variant, runtime: 'litert', count: 8 })
      const values = golden.outputs[0]?.values.data as Float32Array
      expect(new Set(values).size).toBeGreaterThan(2)
      const stored = golden.outputs[0]?.stored
      expect(stored !== undefined).toBe(variant === 'full_int8')
      if (stored === undefined) continue
      const dequantized = Array.from(stored.values.data as Int8Array, (q) =>
        Math.fround(stored.scale * (q - stored.zeroPoint))
      )
      expect(dequantized).toEqual(Array.from(values))
    }
  })

  it('the same variant repeats its goldens on another runtime; one wrong answer and a stuck runtime do not pass', async () => {
    const { path: file = '', goldenOutputsPath = '' } = named(result, 'full_int8')
    const golden = decodeGoldenOutputs(await readFile(goldenOutputsPath))
    const inputs = decodeGoldenInputs(await readFile(result.goldenInputsPath))
    const runtime = await startRuntime('tfjs-tflite', {})
    try {
      const session = new ModelSession(runtime, 'm', await runtime.load('m', file), result.names)
      const differences = (change: (values: Float32Array, index: number) => void) =>
        Promise.all(
          Array.from({ length: golden.count }, async (_, index) => {
            const { outputs } = await session.run(goldenInput(inputs, index))
            const data = Float32Array.from(outputs.get('right')?.data as Float32Array)
            change(data, index)
            return compareGolden(golden, index, new Map([['right', { dtype: 'float32', data }]]), {
              kernels: 'xnnpack'
            })
          })
        )
      const passed = async (...change: Parameters<typeof differences>) =>
        (await differences(...change)).filter((each) => each.passed).length
      expect(await passed(() => undefined)).toBe(8)
      expect(await passed((values, index) => index === 3 && values.fill(1 - (values[0] ?? 0)))).toBe(7)
      // What a kernel with the wrong processor features answered to everything.
      const { scale = 1, zeroPoint = 0 } = golden.outputs[0]?.stored ?? {}
      expect(await passed((values) => values.fill(scale * (-54 - zeroPoint)))).toBeLessThan(2)
    } finally {
      await runtime.close()
    }
  })

  it('leaves the variants and the goldens, and nothing else', async () => {
    const expected = VARIANT_NAMES.flatMap((name) => [`${name}.tflite`, `${name}.golden-outputs.bin`])
    const left = await readdir(path.dirname(result.goldenInputsPath))
    expect(left.sort()).toEqual([...expected, 'golden-inputs.bin'].sort())
  })

  it('reports progress that only grows, up to 100', () => {
    const percents = progress.map(({ percent }) => percent)
    expect(percents).toEqual([...percents].sort((a, b) => a - b))
    expect(percents.at(-1)).toBe(100)
    expect(new Set(percents).size).toBeGreaterThan(30)
  })
})

it('a variant calibrated on garbage is rejected', async () => {
  const result = await bench.run({
    variants: ['full_int8'],
    calibrationPath: path.join(models, 'sides-garbage.npz'),
    evaluationPath: path.join(models, 'sides-evaluation.npz')
  })
  expect(named(result, 'full_int8')).toMatchObject({ state: 'rejected', parity: { passed: false } })
  expect(named(result, 'full_int8').reason).toMatch(/right: it is the same for every input|accuracy [\d.]+ -> [\d.]+/)
}, 60_000)

it('inputs and outputs keep their names when the converter changes their order', async () => {
  const result = await bench.run(
    { sourcePath: path.join(models, 'pair.keras'), evaluationPath: path.join(models, 'pair-evaluation.npz') },
    { runtimes: ['litert', 'tfjs-tflite'] }
  )
  expect(result.names).toEqual({
    inputs: { zeta: 'zeta', 'alpha-1': 'input_tensor_1' },
    outputs: { second: 'second', first: 'first' }
  })
  expect(result.inputs.map(({ name }) => name)).toEqual(['zeta', 'alpha-1'])
  // All shapes are equal: a pair that is swapped anywhere on the way cannot reach 80 dB.
  expect(named(result, 'float32')).toMatchObject({ state: 'ready' })
  expect(named(result, 'float32').parity?.outputs.map(({ name }) => name)).toEqual(['second', 'first'])
  expect(named(result, 'float32').runtimes.map(({ parity }) => parity?.passed)).toEqual([true, true])

  const given = (await readNpz(path.join(models, 'pair-evaluation.npz'))).get('zeta')?.data as Float32Array
  const answers = await readNpz(path.join(models, 'pair-answers.npz'))
  const golden = decodeGoldenOutputs(await readFile(named(result, 'float32').goldenOutputsPath ?? ''))
  const goldenInputs = decodeGoldenInputs(await readFile(result.goldenInputsPath))
  const zeta = goldenInputs.tensors.find(({ name }) => name === 'zeta')?.data as Float32Array
  const sample = given.indexOf(zeta[0] as number) / 4
  for (const { name, values } of golden.outputs) {
    const expected = answers.get(name)?.data.slice(3 * sample, 3 * sample + 3) as Float32Array
    for (const [at, value] of expected.entries()) expect(values.data[at]).toBeCloseTo(value, 5)
  }
}, 60_000)

it('a constant original of Keras 2 format is inconclusive', async () => {
  const result = await bench.run({
    sourcePath: path.join(models, 'constant.h5'),
    format: 'h5',
    evaluationPath: path.join(models, 'sides-evaluation.npz')
  })
  expect(named(result, 'float32')).toMatchObject({ state: 'inconclusive', parity: { passed: false } })
}, 60_000)

it('a SavedModel without evaluation data is converted and stays unproven; full_int8 warns of its calibration', async () => {
  const result = await bench.run({
    sourcePath: path.join(models, 'doubler.tar.gz'),
    format: 'savedmodel',
    variants: ['float32', 'full_int8']
  })
  expect(result.reference?.name).toBe('tensorflow')
  expect(result.names).toEqual({ inputs: { numbers: 'numbers' }, outputs: { doubled: 'doubled' } })
  expect(named(result, 'float32')).toMatchObject({ state: 'unproven', parity: { data: 'generated' } })
  expect(result.warnings.join()).toMatch(/full_int8 calibrated on generated data/)
}, 60_000)

it('a SavedModel with the slots of an old optimizer is converted by its graph, names kept', async () => {
  const result = await bench.run({ sourcePath: path.join(models, 'slots.tar.gz'), format: 'savedmodel' })
  expect(result.inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [-1, 4] }])
  expect(result.names.outputs).toEqual({ product: 'product', sum: 'sum' })
  expect(named(result, 'float32').parity?.outputs.map(({ name, snrDb }) => [name, (snrDb ?? 200) > 80])).toEqual([
    ['product', true],
    ['sum', true]
  ])
}, 60_000)

describe('a ready .tflite', () => {
  it('passes through, run and described and unproven', async () => {
    const made = await bench.run({ evaluationPath: path.join(models, 'sides-evaluation.npz') })
    const sourcePath = named(made, 'float32').path ?? ''
    const result = await bench.run({ sourcePath, format: 'tflite', variants: [] }, { python: '/nowhere' })
    const original = named(result, 'original')
    expect(original).toMatchObject({ state: 'unproven', sha256: named(made, 'float32').sha256 })
    expect(original.runtimes[0]).toMatchObject({ name: 'litert', runnable: true })
    expect(result.reference).toBeUndefined()

    const truncated = path.join(scratch, 'truncated.tflite')
    await writeFile(truncated, (await readFile(sourcePath)).subarray(0, 600))
    expect(await bench.failure({ sourcePath: truncated, format: 'tflite' })).toMatchObject({ code: 'not-a-model' })
  }, 60_000)
})
