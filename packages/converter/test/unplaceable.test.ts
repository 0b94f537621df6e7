import path from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { ConverterWorker } from '../src/converter-worker.ts'
import { type Bench, named, openBench } from './conversion-bench.ts'
import { madeModels, python } from './real-parts.ts'

let bench: Bench
let worker: ConverterWorker
let models: string
beforeAll(async () => {
  bench = await openBench()
  models = await madeModels('make-recipe-models.py')
  worker = new ConverterWorker({ python })
}, 90_000)
afterAll(async () => {
  await worker.stop()
  await bench.close()
})

it('a model that needs TensorFlow operators is converted, and unproven, and says so', async () => {
  const result = await bench.run(
    { sourcePath: path.join(models, 'determinant.tar.gz'), format: 'savedmodel', variants: ['float32'] },
    { worker, runtimes: ['litert', 'tfjs-tflite'] }
  )
  const variant = named(result, 'float32')
  expect(variant).toMatchObject({
    state: 'unproven',
    reason: expect.stringMatching(/Select TF ops: FlexMatrixDeterminant\), which no runtime here has/),
    runtimes: [{ runnable: false }, { runnable: false }]
  })
  expect(variant.attempts?.map(({ outcome }) => outcome)).toEqual(['failed', 'failed', 'failed', 'failed', 'converted'])
  expect(variant.recipe).toMatchObject({ name: 'float32', engine: 'tflite-converter' })
  expect(variant.goldenOutputsPath).toBeUndefined()
  expect(result.signature).toBe('serving_default')
  expect(result.source).toMatchObject({ format: 'savedmodel', sha256: variant.metadata?.skerry?.sourceSha256 })
  expect(result.versions.tensorflow).toBe(result.converter.version)
}, 90_000)

it('a model that takes text is described, converted and unproven', async () => {
  const result = await bench.run(
    { sourcePath: path.join(models, 'texts.tar.gz'), format: 'savedmodel', variants: ['float32'] },
    { worker }
  )
  expect(result.inputs).toEqual([{ name: 'texts', datatype: 'BYTES', shape: [-1, 2] }])
  expect(result.outputs).toEqual([{ name: 'scores', datatype: 'FP32', shape: [-1, 3] }])
  expect(named(result, 'float32')).toMatchObject({ state: 'unproven', reason: expect.any(String) })
  // Nothing was run, so there is nothing to repeat.
  expect(named(result, 'float32').goldenOutputsPath).toBeUndefined()

  // The same file, brought as it is.
  const sourcePath = named(result, 'float32').path ?? ''
  const passed = await bench.run({ sourcePath, format: 'tflite', variants: [] }, { python: '/nowhere' })
  expect(passed.inputs).toEqual([{ name: 'texts', datatype: 'BYTES', shape: [1, 2] }])
  expect(named(passed, 'original')).toMatchObject({
    state: 'unproven',
    reason: 'texts is text, which no runtime here takes.'
  })
  expect(passed.source.sha256).toBe(named(result, 'float32').sha256)
  expect(named(passed, 'original').metadata?.skerry?.recipe).toBe('float32')
}, 90_000)

it('a way in which the process ends is in the log of attempts, and the next variant is made', async () => {
  // TensorFlow's calibrator dies of a Keras LSTM.
  const result = await bench.run(
    { sourcePath: path.join(bench.models, 'lstm.keras'), variants: ['full_int8', 'float32'] },
    { worker }
  )
  expect(named(result, 'full_int8')).toMatchObject({
    state: 'failed',
    attempts: [{ way: 'fixed-batch', outcome: 'failed', error: expect.stringMatching(/process ended/) }]
  })
  expect(named(result, 'float32')).toMatchObject({
    state: 'unproven',
    attempts: [{ way: 'fixed-batch', outcome: 'converted' }]
  })
}, 90_000)
