import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  fromFloat16,
  ModelSession,
  profileModel,
  RuntimeError,
  type RuntimeName,
  rankRuntimes,
  runtimeNames,
  type StartRuntimeOptions,
  startRuntime,
  type TfliteRuntime,
  toFloat16
} from '../src/index.ts'
import { statistics } from '../src/profile.ts'
import { findLiteRt, madeModels, seededRandom } from './python-reference.ts'

let options: StartRuntimeOptions
let models: string

beforeAll(async () => {
  options = await findLiteRt()
  models = await madeModels()
}, 120_000)

const made = (name: string): string => path.join(models, `${name}.tflite`)
const bytesOf = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)
const floats = (bytes: Uint8Array | undefined): number[] => [...new Float32Array(bytes?.slice().buffer ?? [])]

for (const name of runtimeNames) {
  describe(`the interface of ${name}`, () => {
    let runtime: TfliteRuntime

    beforeAll(async () => {
      runtime = await startRuntime(name, options)
    })

    afterAll(() => runtime.close())

    it('invokes by signature name, and names what it does not have', async () => {
      const loaded = await runtime.load('several', made('several'))
      expect(loaded.signature).toBe('double')
      const doubled = await runtime.invoke('several', new Map([['x', bytesOf(1, -3)]]), { signature: 'double' })
      expect(floats(doubled.outputs.get('y'))).toEqual([2, -6])
      const sum = runtime.invoke(
        'several',
        new Map([
          ['a', bytesOf(1, 2, 3)],
          ['b', bytesOf(10, 20, 30)]
        ]),
        { signature: 'sum' }
      )
      if (name === 'litert') {
        expect(loaded.signatures?.sum?.inputs.map((input) => input.name)).toEqual(['a', 'b'])
        expect(floats((await sum).outputs.get('total'))).toEqual([11, 22, 33])
      } else {
        expect(Object.keys(loaded.signatures ?? {})).toEqual(['double'])
        await expect(sum).rejects.toMatchObject({
          code: 'model-refused',
          message: expect.stringMatching(/sum.*first subgraph only/)
        })
      }
      const again = await runtime.invoke('several', new Map([['x', bytesOf(5, 7)]]))
      expect(floats(again.outputs.get('y'))).toEqual([10, 14])
      await expect(runtime.invoke('several', new Map(), { signature: 'product' })).rejects.toMatchObject({
        code: 'input-invalid',
        message: expect.stringContaining('no signature product')
      })
      await runtime.unload('several')
    })

    it.each(['pooled', 'flattened'])('resizes the batch, and each row is what it is alone: %s', async (model) => {
      const loaded = await runtime.load('loose', made(model))
      const [input, output] = [loaded.inputs[0]?.name ?? '', loaded.outputs[0]?.name ?? '']
      const random = seededRandom(31)
      const rows = [1, 2, 3].map(() => Float32Array.from({ length: 8 * 8 * 3 }, () => random() * 2 - 1))
      const alone: number[] = []
      for (const row of rows) {
        const { outputs } = await runtime.invoke('loose', new Map([[input, new Uint8Array(row.buffer)]]))
        alone.push(...floats(outputs.get(output)))
      }
      const all = new Uint8Array(Float32Array.from(rows.flatMap((row) => [...row])).buffer)
      const resized = runtime.resize('loose', new Map([[input, [3, 8, 8, 3]]]))
      if (name === 'tfjs-tflite-node' || (name === 'litert' && model === 'flattened')) {
        const reason = name === 'litert' ? 'the size of an output is computed' : 'cannot resize'
        await expect(resized).rejects.toMatchObject({
          code: 'model-refused',
          message: expect.stringContaining(reason)
        })
      } else {
        expect(await resized).toMatchObject({ inputs: [{ shape: [3, 8, 8, 3] }], outputs: [{ shape: [3, 5] }] })
        const together = floats((await runtime.invoke('loose', new Map([[input, all]]))).outputs.get(output))
        expect(together).toHaveLength(15)
        for (const [index, value] of together.entries()) expect(value).toBeCloseTo(alone[index] ?? Number.NaN, 5)
        await runtime.resize('loose', new Map())
      }
      const first = await runtime.invoke(
        'loose',
        new Map([[input, new Uint8Array((rows[0] ?? new Float32Array()).buffer)]])
      )
      expect(floats(first.outputs.get(output))).toEqual(alone.slice(0, 5))
      for (const wrong of [
        [1, 9, 8, 3],
        [2, 8, 8],
        [0, 8, 8, 3]
      ]) {
        await expect(runtime.resize('loose', new Map([[input, wrong]]))).rejects.toMatchObject({
          code: 'input-invalid',
          message: expect.stringContaining(input)
        })
      }
      await runtime.unload('loose')
    })

    it('refuses strings by the tensor and its type', async () => {
      await expect(runtime.load('words', made('words'))).rejects.toMatchObject({
        code: 'model-refused',
        message: expect.stringMatching(/words.* is string/)
      })
    })

    it('carries float16, or says that it does not', async () => {
      const loading = runtime.load('half', made('half'))
      if (name !== 'litert') {
        await expect(loading).rejects.toMatchObject({
          code: 'model-refused',
          message: expect.stringContaining('float16')
        })
        return
      }
      const session = new ModelSession(runtime, 'half', await loading)
      const { outputs } = await session.run(new Map([['x', Float32Array.of(1.5, -2, 1e-7, 65504)]]))
      const { dtype, data } = outputs.get('y') ?? {}
      expect(dtype).toBe('float16')
      expect([...fromFloat16(data as Uint16Array)]).toEqual([1.5, -2, 2 ** -23, 65504])
      await runtime.unload('half')
    })

    it('profiles a model in the phases of benchmark_model', async () => {
      const loaded = await runtime.load('pair', made('pair'))
      const random = seededRandom(5)
      // What it is afterwards may be more: a process grows whenever it likes.
      const { rssBytes } = await runtime.stats()
      const profile = await profileModel(runtime, 'pair', loaded, {
        runs: 20,
        durationMs: 0,
        warmupDurationMs: 0,
        random
      })
      expect(profile.initMs).toBe(loaded.loadMs)
      expect(profile.warmup.count).toBe(1)
      expect(profile.steady.count).toBe(20)
      const { minMs, p50Ms, p95Ms, p99Ms, maxMs } = profile.steady
      const inOrder = [0, minMs, p50Ms, p95Ms, p99Ms, maxMs]
      expect([...inOrder].sort((a, b) => a - b)).toEqual(inOrder)
      expect(profile.firstMs).toBeGreaterThan(0)
      expect(profile.peakRssBytes).toBeGreaterThanOrEqual(rssBytes)
      await runtime.unload('pair')
    })
  })
}

describe('statistics', () => {
  it('gives average, deviation and quantiles that occurred', () => {
    expect(statistics([4, 2, 4, 4, 5, 5, 7, 9])).toEqual({
      count: 8,
      avgMs: 5,
      stdMs: 2,
      minMs: 2,
      maxMs: 9,
      p50Ms: 4,
      p95Ms: 9,
      p99Ms: 9
    })
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
    expect(statistics(hundred)).toMatchObject({ p50Ms: 50, p95Ms: 95, p99Ms: 99, maxMs: 100 })
  })
})

describe('rankRuntimes', () => {
  it('puts the fastest by its measured p50 first, and what did not run last, with the reason', async () => {
    const pace: Partial<Record<RuntimeName, number>> = { litert: 3, 'tfjs-tflite': 1 }
    const started: TfliteRuntime[] = []
    const start = async (name: RuntimeName): Promise<TfliteRuntime> => {
      const inferenceMs = pace[name]
      if (inferenceMs === undefined) throw new RuntimeError('runtime-unavailable', 'not built here')
      const runtime = await startRuntime(name, options)
      started.push(runtime)
      const invoke = runtime.invoke.bind(runtime)
      runtime.invoke = async (...call) => ({ ...(await invoke(...call)), inferenceMs })
      return runtime
    }
    const order = ['tfjs-tflite-node', 'litert', 'tfjs-tflite'] as const
    const profile = { runs: 3, durationMs: 0, warmupDurationMs: 0, candidates: order }
    const ranked = await rankRuntimes(made('pair'), start, profile)
    expect(ranked).toMatchObject([
      { info: { name: 'tfjs-tflite' }, profile: { steady: { p50Ms: 1 } } },
      { info: { name: 'litert' }, profile: { steady: { p50Ms: 3 } } },
      { name: 'tfjs-tflite-node', reason: 'not built here' }
    ])
    for (const runtime of started)
      await expect(runtime.load('late', made('pair'))).rejects.toMatchObject({ code: 'runtime-closed' })
  })
})

describe('float16', () => {
  it('gives every pattern back', () => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, index) => index)
    const back = toFloat16(fromFloat16(patterns))
    const isNan = (pattern: number) => (pattern & 0x7fff) > 0x7c00
    for (const [index, pattern] of back.entries()) {
      if (isNan(index) ? !isNan(pattern) : pattern !== index) expect(pattern, `${index}`).toBe(index)
    }
  })

  it('rounds half to even', () => {
    const [unit, least] = [2 ** -10, 2 ** -24]
    const reals = Float32Array.of(
      1 + unit / 2,
      1 + 1.5 * unit,
      1 + 0.51 * unit,
      65519,
      65520,
      least / 2,
      1.5 * least,
      -0
    )
    const rounded = [...fromFloat16(toFloat16(reals))]
    expect(rounded).toEqual([1, 1 + 2 * unit, 1 + unit, 65504, Number.POSITIVE_INFINITY, 0, 2 * least, -0])
  })
})
