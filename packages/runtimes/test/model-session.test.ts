import path from 'node:path'
import { dequantize, type QuantizedArray } from '@skerry/tflite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ModelSession, runtimeNames, type StartRuntimeOptions, startRuntime, type TfliteRuntime } from '../src/index.ts'
import { findLiteRt, madeModels, runInPython, seededRandom } from './python-reference.ts'

const arrays = { int8: Int8Array, uint8: Uint8Array, int16: Int16Array }
const names = { inputs: { picture: 'keras_tensor' }, outputs: { scores: 'output_0' } }

let options: StartRuntimeOptions
let models: string

beforeAll(async () => {
  options = await findLiteRt()
  models = await madeModels()
}, 120_000)

const made = (name: string): string => path.join(models, `${name}.tflite`)

function picture(seed: number): Float32Array {
  const random = seededRandom(seed)
  return Float32Array.from({ length: 8 * 8 * 3 }, () => random() * 4 - 2)
}

for (const name of runtimeNames) {
  describe(`ModelSession on ${name}`, () => {
    let runtime: TfliteRuntime

    beforeAll(async () => {
      runtime = await startRuntime(name, options)
    })

    afterAll(() => runtime.close())

    it.each(['int8', 'uint8', 'int16'] as const)('takes and gives float32 where the model is %s', async (dtype) => {
      const loaded = await runtime.load(dtype, made(dtype))
      expect(loaded.inputs[0]).toMatchObject({ name: 'keras_tensor', dtype })
      const session = new ModelSession(runtime, dtype, loaded, names)
      expect(session.inputs).toMatchObject([{ name: 'picture', dtype: 'float32', shape: [1, 8, 8, 3] }])
      expect(session.outputs).toMatchObject([{ name: 'scores', dtype: 'float32', shape: [1, 5] }])

      const reals = picture(11)
      const { outputs, timings } = await session.run(new Map([['picture', reals]]))
      const scores = outputs.get('scores')
      expect(scores).toMatchObject({ dtype: 'float32', shape: [1, 5] })

      // The reference quantizes by its own parameters and its own arithmetic.
      const { scales, zeroPoints } = (await describeInput(dtype)) ?? { scales: [], zeroPoints: [] }
      const [scale = Number.NaN, zeroPoint = Number.NaN] = [scales[0], zeroPoints[0]]
      const toStored = (from: Float32Array, map: (real: number) => number) => new arrays[dtype]([...from].map(map))
      const limit = { int8: [-128, 127], uint8: [0, 255], int16: [-32768, 32767] }[dtype]
      const stored = toStored(reals, (real) =>
        Math.min(Math.max(Math.round(real / scale) + zeroPoint, limit[0] ?? 0), limit[1] ?? 0)
      )
      const reference = await runInPython(made(dtype), new Map([['keras_tensor', new Uint8Array(stored.buffer)]]))
      const border = reference.outputs.output_0
      const step = border?.scales[0] ?? Number.NaN
      const expected = dequantize(
        new arrays[dtype](reference.values.get('output_0')?.slice().buffer ?? new ArrayBuffer(0)) as QuantizedArray,
        { scales: [step], zeroPoints: border?.zeroPoints ?? [], axis: 0 }
      )
      // Kernels of another build may round otherwise, by a step of the output.
      const steps = 2
      for (const [index, value] of expected.entries()) {
        expect(Math.abs((scores?.data[index] as number) - value), `${index}`).toBeLessThanOrEqual(steps * step + 1e-6)
      }
      expect(new Set(expected).size).toBeGreaterThan(2)
      for (const ms of Object.values(timings)) expect(ms).toBeGreaterThanOrEqual(0)

      // The stored values themselves are taken too, and mean the same.
      const raw = await session.run(new Map([['picture', stored]]))
      expect(raw.outputs).toEqual(outputs)
      await runtime.unload(dtype)
    })

    it('names what is wrong with an input by the original name', async () => {
      const session = new ModelSession(runtime, 'int8', await runtime.load('int8', made('int8')), names)
      const refused = (data: Float32Array | Int32Array, input = 'picture') =>
        expect(session.run(new Map([[input, data]]))).rejects.toMatchObject({
          code: 'input-invalid',
          message: expect.stringContaining(input)
        })
      await refused(picture(1), 'keras_tensor')
      await refused(picture(1).subarray(1))
      await refused(new Int32Array(8 * 8 * 3))
      await refused(picture(1).fill(Number.NaN, 5, 6))
      await expect(session.run(new Map())).rejects.toMatchObject({ code: 'input-invalid' })
      await runtime.unload('int8')
    })

    it('carries float32 and bool as they are, under the names given', async () => {
      const map = { inputs: { a: 'alpha', z: 'zulu' }, outputs: { difference: 'minus', above: 'positive' } }
      const session = new ModelSession(runtime, 'pair', await runtime.load('pair', made('pair')), map)
      const { outputs } = await session.run(
        new Map([
          ['z', Float32Array.of(1, 2, -3, 4)],
          ['a', Float32Array.of(0.5, 0, 0, 1)]
        ])
      )
      expect(outputs).toEqual(
        new Map([
          ['difference', { dtype: 'float32', shape: [1, 4], data: Float32Array.of(0, 2, -3, 2) }],
          ['above', { dtype: 'bool', shape: [1, 4], data: Uint8Array.of(1, 1, 0, 1) }]
        ])
      )
      await runtime.unload('pair')
    })

    it('refuses names that the model has not, or that leave an input out', async () => {
      const loaded = await runtime.load('pair', made('pair'))
      const outputs = { minus: 'minus' }
      for (const inputs of [{ a: 'alpha', z: 'yankee' }, { a: 'alpha' }] as Record<string, string>[]) {
        expect(() => new ModelSession(runtime, 'pair', loaded, { inputs, outputs })).toThrow(
          expect.objectContaining({ code: 'model-refused' })
        )
      }
      await runtime.unload('pair')
    })
  })
}

async function describeInput(dtype: keyof typeof arrays) {
  const zeros = new Uint8Array(8 * 8 * 3 * arrays[dtype].BYTES_PER_ELEMENT)
  return (await runInPython(made(dtype), new Map([['keras_tensor', zeros]]))).inputs.keras_tensor
}
