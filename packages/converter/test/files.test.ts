import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type NamedArray, toNumbers } from '../src/array.ts'
import {
  compareGolden,
  decodeGoldenOutputs,
  encodeGoldenOutputs,
  type GoldenOutputs,
  pickGoldenSamples
} from '../src/goldens.ts'
import { readNpz, writeNpz } from '../src/npz.ts'
import { decodeTensorBundle, encodeTensorBundle, TensorBundleError } from '../src/tensor-bundle.ts'
import { madeModels, runPython } from './real-parts.ts'

let models: string
let scratch: string
beforeAll(async () => {
  models = await madeModels()
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-converter-files-'))
}, 60_000)
afterAll(() => rm(scratch, { recursive: true }))

const floats = (name: string, shape: number[], values: number[]): NamedArray => ({
  name,
  dtype: 'float32',
  shape,
  data: Float32Array.from(values)
})

describe('.npz', () => {
  it("reads numpy's own file, type by type", async () => {
    const arrays = await readNpz(path.join(models, 'numbers.npz'))
    const seen = Object.fromEntries(
      [...arrays].map(([name, { dtype, shape, data }]) => [name, [dtype, shape, Array.from(data as Iterable<unknown>)]])
    )
    expect(seen).toEqual({
      flags: ['bool', [2], [1, 0]],
      bytes: ['uint8', [2, 3], [0, 1, 2, 3, 4, 5]],
      short: ['int16', [2], [-2, 300]],
      ints: ['int32', [2, 1], [-1, 2 ** 31 - 1]],
      longs: ['int64', [2], [-(2n ** 53n), 7n]],
      floats: ['float32', [1, 1, 2], [0.5, -1.25]],
      doubles: ['float64', [2], [Math.PI, Number.POSITIVE_INFINITY]],
      scalar: ['float32', [], [4]]
    })
  })

  it('reads the compressed form', async () => {
    const arrays = await readNpz(path.join(models, 'sides-evaluation.npz'))
    expect(arrays.get('picture')?.shape).toEqual([96, 8, 8, 1])
    const y = arrays.get('y')
    expect(y === undefined ? [] : [...new Set(toNumbers(y.dtype, y.data))].sort()).toEqual([0, 1])
  })

  it('writes what numpy reads', async () => {
    const file = path.join(scratch, 'written.npz')
    await writeNpz(file, [
      floats('a b', [2, 2], [1, 2, 3, 4]),
      { name: 'n', dtype: 'int64', shape: [1], data: BigInt64Array.of(-5n) }
    ])
    const program =
      'import numpy, sys; z = numpy.load(sys.argv[1]); print(z["a b"].tolist(), z["n"].dtype, z["n"].tolist())'
    expect((await runPython('-c', program, file)).trim()).toBe('[[1.0, 2.0], [3.0, 4.0]] int64 [-5]')
    expect((await readNpz(file)).get('a b')?.data).toEqual(Float32Array.of(1, 2, 3, 4))
  })

  it('every cut and every flipped byte is a coded error or leaves the values as they were', async () => {
    const file = path.join(scratch, 'corrupt.npz')
    await writeNpz(file, [floats('x', [3], [1, 2, 3])])
    const whole = await readFile(file)
    const damage = fc.oneof(
      fc.nat(whole.length - 1).map((end) => whole.subarray(0, end)),
      fc.record({ at: fc.nat(whole.length - 1), to: fc.integer({ min: 1, max: 255 }) }).map(({ at, to }) => {
        const copy = Buffer.from(whole)
        copy[at] = (copy[at] as number) ^ to
        return copy
      })
    )
    await fc.assert(
      fc.asyncProperty(damage, async (bytes) => {
        await writeFile(file, bytes)
        const result = await readNpz(file).catch((error: unknown) => error)
        if (result instanceof Map)
          for (const array of result.values()) expect(array.data).toEqual(Float32Array.of(1, 2, 3))
        else expect(result).toMatchObject({ name: 'NpzError' })
      }),
      { numRuns: 300 }
    )
  })

  it('refuses an array that is larger than allowed', async () => {
    const file = path.join(models, 'sides-evaluation.npz')
    await expect(readNpz(file, { maxBytes: 1000 })).rejects.toMatchObject({ code: 'too-large' })
  })
})

describe('tensor bundles', () => {
  const tensors: NamedArray[] = [
    floats('image', [2, 3], [1, 2, 3, 4, 5, 6]),
    { name: 'raw', dtype: 'int8', shape: [3], data: Int8Array.of(-128, 0, 127) },
    { name: 'none', dtype: 'int64', shape: [0, 4], data: new BigInt64Array(0) }
  ]

  it('come back as they were', () => {
    const decoded = decodeTensorBundle(encodeTensorBundle(tensors, { made: 'here' }))
    expect(decoded).toEqual({ tensors, meta: { made: 'here' } })
  })

  it('can be read from the middle of a buffer', async () => {
    const file = path.join(scratch, 'middle.bin')
    await writeFile(file, 'odd')
    await appendFile(file, encodeTensorBundle(tensors))
    expect(decodeTensorBundle((await readFile(file)).subarray(3)).tensors).toEqual(tensors)
  })

  it('any damage is a TensorBundleError or a bundle, never a read out of bounds', () => {
    const whole = encodeTensorBundle(tensors)
    fc.assert(
      fc.property(fc.nat(whole.length), fc.nat(whole.length - 1), fc.nat(255), (end, at, value) => {
        const copy = Buffer.from(whole)
        copy[at] = value
        for (const bytes of [copy, whole.subarray(0, end)]) {
          try {
            decodeTensorBundle(bytes)
          } catch (error) {
            expect(error).toBeInstanceOf(TensorBundleError)
          }
        }
      }),
      { numRuns: 1000 }
    )
  })
})

describe('goldens', () => {
  const quantized: GoldenOutputs = {
    variant: 'full_int8',
    runtime: 'litert',
    version: '1',
    count: 2,
    outputs: [
      {
        name: 'face',
        values: floats('face', [2, 1], [0.5, 0.75]),
        stored: {
          values: { name: 'face', dtype: 'int8', shape: [2, 1], data: Int8Array.of(0, 64) },
          scale: 1 / 256,
          zeroPoint: -128
        }
      }
    ]
  }
  const float: GoldenOutputs = {
    ...quantized,
    variant: 'float32',
    outputs: [{ name: 'face', values: floats('face', [2, 1], [0.5, 750]) }]
  }
  const answer = (value: number) => new Map([['face', { dtype: 'float32', data: Float32Array.of(value) }]])
  const passes = (golden: GoldenOutputs, index: number, value: number, kernels: 'xnnpack' | 'reference' = 'xnnpack') =>
    compareGolden(golden, index, answer(value), { kernels }).passed

  it('come back as they were', () => {
    for (const golden of [quantized, float]) expect(decodeGoldenOutputs(encodeGoldenOutputs(golden))).toEqual(golden)
  })

  it('quantized outputs may differ by 2 steps with the same kernels and by 8 with others', () => {
    expect(passes(quantized, 1, 0.75 + 2 / 256)).toBe(true)
    expect(passes(quantized, 1, 0.75 + 3 / 256)).toBe(false)
    expect(passes(quantized, 1, 0.75 - 8 / 256, 'reference')).toBe(true)
    expect(passes(quantized, 1, 0.75 - 9 / 256, 'reference')).toBe(false)
  })

  it('float outputs may differ by 1e-4, of their size where they are large', () => {
    expect(passes(float, 0, 0.50009)).toBe(true)
    expect(passes(float, 0, 0.5002)).toBe(false)
    expect(passes(float, 1, 750.05)).toBe(true)
    expect(passes(float, 1, 750.1)).toBe(false)
  })

  it("another input's answer, NaN, a missing output and another size do not pass", () => {
    expect(passes(quantized, 0, 0.75)).toBe(false)
    expect(passes(quantized, 0, Number.NaN)).toBe(false)
    expect(compareGolden(quantized, 0, new Map(), { kernels: 'xnnpack' }).passed).toBe(false)
    const two = new Map([['face', { dtype: 'float32', data: Float32Array.of(0.5, 0.5) }]])
    expect(compareGolden(quantized, 0, two, { kernels: 'xnnpack' }).passed).toBe(false)
  })

  it('are picked for answers that lie far apart', () => {
    const values = Array.from({ length: 40 }, (_, at) => (at % 10 === 0 ? at : 0.5))
    expect(pickGoldenSamples([floats('out', [40, 1], values)], 4)).toEqual(expect.arrayContaining([10, 20, 30]))
    expect(pickGoldenSamples([floats('out', [3, 1], [1, 2, 3])])).toEqual([0, 1, 2])
  })
})
