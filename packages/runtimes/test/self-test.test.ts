import { readTflite } from '@skerry/tflite'
import { describe, expect, it } from 'vitest'
import { selfTest } from '../src/self-test.ts'
import { selfTestModels } from '../src/self-test-models.ts'
import { type Backend, BackendError } from '../src/serve-backend.ts'

/** A runtime that knows the answers to our own models, and changes those to one element type. */
function backendOf(broken: string, change: (expected: Uint8Array) => Uint8Array): Backend {
  return {
    version: '',
    inferencesPerTurn: 1,
    dtypes: selfTestModels().map(({ dtype }) => dtype),
    load: async (_plan, source) => {
      const model = selfTestModels().find(({ file }) => Buffer.compare(file, Buffer.from(source)) === 0)
      if (model === undefined) throw new Error('not one of our own models')
      const { dtype, input, expected } = model
      const memory = new Uint8Array(input.length)
      const signature = {
        outputs: [],
        inputs: () => [memory],
        run: () => {
          expect(memory).toEqual(input)
          return { inferenceMs: 0, outputs: [dtype === broken ? change(expected) : expected] }
        }
      }
      return { signatures: [signature], unload: () => undefined }
    }
  }
}

describe('selfTest', () => {
  const dtypes = ['float32', 'int8', 'uint8', 'int16', 'int32', 'int64', 'bool']

  it('has a model for each element type, which the reader understands, with an answer that is not one number', () => {
    const models = selfTestModels()
    expect(models.map(({ dtype }) => dtype)).toEqual(dtypes)
    for (const { dtype, file, expected } of models) {
      expect(readTflite(file).inputs[0]?.dtype).toBe(dtype)
      expect(new Set(expected).size, dtype).toBeGreaterThan(1)
    }
  })

  it('accepts right answers', async () => {
    await expect(selfTest(backendOf('none', (expected) => expected))).resolves.toBeUndefined()
  })

  it.each(dtypes)('refuses a runtime that is off by one in %s', async (dtype) => {
    const offByOne = (expected: Uint8Array) => expected.with(0, (expected[0] ?? 0) + 1)
    await expect(selfTest(backendOf(dtype, offByOne))).rejects.toThrow(
      `self-test of ${dtype}: this runtime computes wrongly`
    )
  })

  it('refuses a runtime that answers -54 to everything, as kernels for another CPU did', async () => {
    const constant = (expected: Uint8Array) => new Uint8Array(expected.length).fill(256 - 54)
    await expect(selfTest(backendOf('int8', constant))).rejects.toThrow('it answers [202 202 202')
  })

  it('refuses a runtime that does not take a type that it should', async () => {
    const backend = backendOf('none', (expected) => expected)
    const load: Backend['load'] = async () => {
      throw new BackendError('model-refused', 'no such kernel')
    }
    await expect(selfTest({ ...backend, load })).rejects.toThrow('self-test of float32: no such kernel')
  })
})
