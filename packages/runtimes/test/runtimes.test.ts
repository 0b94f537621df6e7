import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { tensorBytes } from '@skerry/tflite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type LoadedModel,
  type RuntimeExit,
  type RuntimeName,
  runtimeNames,
  type StartRuntimeOptions,
  startRuntime,
  type TfliteRuntime
} from '../src/index.ts'
import { findLiteRt, madeModels, packagedModel, runInPython, seededRandom } from './python-reference.ts'

const faceModels = ['face_detection_short_range.tflite', 'face_detection_full_range_sparse.tflite']
const faces = (file: string): string => packagedModel('@mediapipe/face_detection', file)
const selfie = packagedModel('@mediapipe/selfie_segmentation', 'selfie_segmentation.tflite')

let options: StartRuntimeOptions
let models: string
let scratch: string

beforeAll(async () => {
  options = await findLiteRt()
  models = await madeModels()
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-runtimes-'))
}, 120_000)

afterAll(() => rm(scratch, { recursive: true }))

const made = (name: string): string => path.join(models, `${name}.tflite`)
const alive = (pid: number): boolean => existsSync(`/proc/${pid}`)

function randomInputs(model: LoadedModel, seed: number): Map<string, Uint8Array> {
  const random = seededRandom(seed)
  const fill = (bytes: Uint8Array, dtype: string): Uint8Array => {
    const values = dtype === 'float32' ? new Float32Array(bytes.buffer) : bytes
    for (let i = 0; i < values.length; i++) values[i] = dtype === 'float32' ? random() * 2 - 1 : random() * 256
    return bytes
  }
  return new Map(
    model.inputs.map(({ name, dtype, shape }) => [name, fill(new Uint8Array(tensorBytes(dtype, shape) ?? 0), dtype)])
  )
}

/** Largest difference between two tensors, relative to the largest value, element type float32. */
function difference(actual: Uint8Array | undefined, expected: Uint8Array | undefined): number {
  const [a, b] = [actual, expected].map((bytes) => new Float32Array((bytes ?? new Uint8Array(0)).slice().buffer))
  if (a === undefined || b === undefined || a.length !== b.length || a.length === 0) return Number.NaN
  const range = b.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  return a.reduce((max, value, index) => Math.max(max, Math.abs(value - (b[index] ?? Number.NaN))), 0) / range
}

for (const name of runtimeNames) {
  describe(name, () => {
    let runtime: TfliteRuntime

    beforeAll(async () => {
      runtime = await startRuntime(name, options)
    })

    afterAll(() => runtime.close())

    it('says what it is', () => {
      const versions: Record<RuntimeName, string | undefined> = {
        litert: options.version,
        'tfjs-tflite': '0.0.1-alpha.10',
        'tfjs-tflite-node': '0.0.2'
      }
      expect(runtime.info).toMatchObject({ name, version: versions[name] })
      expect(alive(runtime.pid)).toBe(true)
    })

    it.each(faceModels)('gives what ai-edge-litert gives: %s', async (file) => {
      const loaded = await runtime.load(file, faces(file))
      for (const seed of [1, 2]) {
        const inputs = randomInputs(loaded, seed)
        const { outputs, inferenceMs } = await runtime.invoke(file, inputs)
        const reference = await runInPython(faces(file), inputs)
        expect([...outputs.keys()].sort()).toEqual(Object.keys(reference.outputs).sort())
        for (const [output, bytes] of outputs) {
          expect(difference(bytes, reference.values.get(output)), output).toBeLessThan(1e-5)
        }
        expect(inferenceMs).toBeGreaterThan(0)
      }
      await runtime.unload(file)
    })

    it('binds by the signature names, whatever order the file has', async () => {
      const loaded = await runtime.load('pair', made('pair'))
      expect(loaded.signature).toBe('serving_default')
      expect(loaded.inputs.map((input) => input.name).sort()).toEqual(['alpha', 'zulu'])
      const inputs = new Map([
        ['alpha', new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer)],
        ['zulu', new Uint8Array(Float32Array.of(10, -20, 0, 40).buffer)]
      ])
      const { outputs } = await runtime.invoke('pair', inputs)
      const floats = (output: string): number[] => [...new Float32Array(outputs.get(output)?.slice().buffer ?? [])]
      expect(floats('minus')).toEqual([8, -24, -6, 32])
      expect(floats('add')).toEqual([11, -18, 3, 44])
      expect([...(outputs.get('positive') ?? [])]).toEqual([1, 0, 0, 1])
      await runtime.unload('pair')
    })

    it('loads a model from bytes, and answers as from its file', async () => {
      const file = faces('face_detection_short_range.tflite')
      const loaded = await runtime.load('bytes', await readFile(file))
      await runtime.load('file', file)
      const inputs = randomInputs(loaded, 12)
      const [bytes, path] = await Promise.all(['bytes', 'file'].map((id) => runtime.invoke(id, inputs)))
      expect(bytes?.outputs).toEqual(path?.outputs)
      await runtime.unload('bytes')
      await runtime.unload('file')
    })

    it('holds several models at once, each with its own state', async () => {
      const pair = await runtime.load('pair', made('pair'))
      const face = await runtime.load('face', faces('face_detection_short_range.tflite'))
      const [pairInputs, faceInputs] = [randomInputs(pair, 3), randomInputs(face, 4)]
      const alone = await runtime.invoke('pair', pairInputs)
      const [again] = await Promise.all([
        runtime.invoke('pair', pairInputs),
        runtime.invoke('face', faceInputs),
        runtime.invoke('face', randomInputs(face, 5))
      ])
      expect(again.outputs).toEqual(alone.outputs)
      await expect(runtime.load('pair', made('pair'))).rejects.toMatchObject({ code: 'model-already-loaded' })
      await runtime.unload('pair')
      await expect(runtime.invoke('pair', pairInputs)).rejects.toMatchObject({ code: 'model-not-loaded' })
      await expect(runtime.invoke('face', faceInputs)).resolves.toBeDefined()
      await runtime.unload('face')
    })

    it('leaves outputs as they are when the next call comes', async () => {
      const file = 'face_detection_full_range_sparse.tflite'
      const loaded = await runtime.load(file, faces(file))
      const [one, other] = [randomInputs(loaded, 1), randomInputs(loaded, 2)]
      const [first, second, again] = await Promise.all([one, other, one].map((inputs) => runtime.invoke(file, inputs)))
      expect(first?.outputs).toEqual(again?.outputs)
      expect(first?.outputs).not.toEqual(second?.outputs)
      await runtime.unload(file)
    })

    it('refuses inputs that do not fit, and goes on', async () => {
      const loaded = await runtime.load('pair', made('pair'))
      const inputs = randomInputs(loaded, 6)
      const missing = new Map([['zulu', new Uint8Array(16)]])
      const short = new Map([...inputs, ['zulu', new Uint8Array(15)] as const])
      const unknown = new Map([...inputs, ['yankee', new Uint8Array(16)] as const])
      for (const wrong of [missing, short, unknown]) {
        await expect(runtime.invoke('pair', wrong)).rejects.toMatchObject({ code: 'input-invalid' })
      }
      await expect(runtime.invoke('pair', inputs)).resolves.toBeDefined()
      await runtime.unload('pair')
    })

    it('refuses what is no model, a file that is not there and half a model, and goes on', async () => {
      const garbage = path.join(scratch, 'garbage.tflite')
      await writeFile(garbage, 'not a model, but long enough to be taken for one')
      await expect(runtime.load('garbage', garbage)).rejects.toMatchObject({ code: 'model-refused' })
      const half = path.join(scratch, 'half.tflite')
      const whole = await readFile(faces('face_detection_short_range.tflite'))
      await writeFile(half, whole.subarray(0, whole.length >> 1))
      await expect(runtime.load('half', half)).rejects.toMatchObject({ code: 'model-refused' })
      await expect(runtime.load('absent', path.join(scratch, 'absent'))).rejects.toMatchObject({
        code: 'model-refused'
      })
      await runtime.load('pair', made('pair'))
      await runtime.unload('pair')
    })

    it('ends a call that takes too long, and its process', async () => {
      const doomed = await startRuntime(name, options)
      await doomed.load('count', made('count'))
      const limit = (value: number) => new Map([['limit', new Uint8Array(Int32Array.of(value).buffer)]])
      const { outputs } = await doomed.invoke('count', limit(10), { timeoutMs: 10_000 })
      expect(new Int32Array(outputs.get('count')?.slice().buffer ?? [])[0]).toBe(10)
      const exit = new Promise<RuntimeExit>((resolve) => doomed.onExit(resolve))
      const endless = doomed.invoke('count', limit(2 ** 31 - 1), { timeoutMs: 200 })
      const behind = doomed.invoke('count', limit(1))
      behind.catch(() => undefined)
      await expect(endless).rejects.toMatchObject({ code: 'runtime-timeout' })
      await expect(behind).rejects.toMatchObject({ code: 'runtime-crashed', signal: 'SIGKILL' })
      expect(await exit).toMatchObject({ expected: false, signal: 'SIGKILL' })
      expect(alive(doomed.pid)).toBe(false)
    })

    it('ends its process when a running call is aborted, and nothing when a waiting one is', async () => {
      const doomed = await startRuntime(name, options)
      await doomed.load('count', made('count'))
      const limit = new Map([['limit', new Uint8Array(Int32Array.of(2 ** 31 - 1).buffer)]])
      const [running, waiting] = [new AbortController(), new AbortController()]
      const first = doomed.invoke('count', limit, { signal: running.signal })
      const second = doomed.invoke('count', limit, { signal: waiting.signal })
      waiting.abort()
      await expect(second).rejects.toMatchObject({ code: 'runtime-aborted' })
      expect(alive(doomed.pid)).toBe(true)
      running.abort()
      await expect(first).rejects.toMatchObject({ code: 'runtime-aborted', signal: 'SIGKILL' })
    })

    it('rejects what was pending when its process is killed, and says so to listeners', async () => {
      const doomed = await startRuntime(name, options)
      const loaded = await doomed.load('count', made('count'))
      expect(loaded.inputs[0]).toMatchObject({ name: 'limit', dtype: 'int32' })
      const exit = new Promise<RuntimeExit>((resolve) => doomed.onExit(resolve))
      const limit = new Map([['limit', new Uint8Array(Int32Array.of(2 ** 31 - 1).buffer)]])
      const pending = doomed.invoke('count', limit)
      process.kill(doomed.pid, 'SIGKILL')
      await expect(pending).rejects.toMatchObject({ code: 'runtime-crashed', signal: 'SIGKILL', exitCode: null })
      expect(await exit).toMatchObject({ expected: false, signal: 'SIGKILL' })
      for (const late of [doomed.invoke('count', limit), doomed.load('pair', made('pair'))]) {
        await expect(late).rejects.toMatchObject({ code: 'runtime-crashed' })
      }
    })

    it('leaves no process behind, and is told apart from a crash, when it is closed', async () => {
      const closed = await startRuntime(name, options)
      await closed.load('pair', made('pair'))
      const exit = new Promise<RuntimeExit>((resolve) => closed.onExit(resolve))
      await closed.close()
      expect(await exit).toMatchObject({ expected: true, exitCode: 0 })
      expect(alive(closed.pid)).toBe(false)
      await expect(closed.load('late', made('pair'))).rejects.toMatchObject({ code: 'runtime-closed' })
    })

    it('tells its memory', async () => {
      const { rssBytes } = await runtime.stats()
      expect(rssBytes).toBeGreaterThan(20e6)
      expect(rssBytes).toBeLessThan(1e9)
    })
  })
}

describe('what one runtime can and the other cannot', () => {
  it('a custom operator that tfjs-tflite has not is named in its refusal', async () => {
    const [litert, wasm] = await Promise.all([startRuntime('litert', options), startRuntime('tfjs-tflite', options)])
    await expect(wasm.load('selfie', selfie)).rejects.toMatchObject({
      code: 'model-refused',
      message: expect.stringContaining('Convolution2DTransposeBias')
    })
    const loaded = await litert.load('selfie', selfie)
    const inputs = randomInputs(loaded, 8)
    const { outputs } = await litert.invoke('selfie', inputs)
    const reference = await runInPython(selfie, inputs)
    expect(difference(outputs.get('activation_10'), reference.values.get('activation_10'))).toBeLessThan(1e-5)
    await Promise.all([litert.close(), wasm.close()])
  })

  it('dynamic-range int8 runs on litert; tfjs-tflite names the operator and its version', async () => {
    const [litert, wasm] = await Promise.all([startRuntime('litert', options), startRuntime('tfjs-tflite', options)])
    await expect(wasm.load('dynamic', made('dynamic-int8'))).rejects.toMatchObject({
      code: 'model-refused',
      message: expect.stringMatching(/tfjs-tflite 0\.0\.1-alpha\.10: .*'FULLY_CONNECTED' version '12'/)
    })
    const loaded = await litert.load('dynamic', made('dynamic-int8'))
    const inputs = randomInputs(loaded, 9)
    const reference = await runInPython(made('dynamic-int8'), inputs)
    const { outputs } = await litert.invoke('dynamic', inputs)
    expect(difference(outputs.get('output_0'), reference.values.get('output_0'))).toBeLessThan(1e-5)
    await Promise.all([litert.close(), wasm.close()])
  })

  it('int64 tensors run on litert and are refused, not rounded, by tfjs-tflite', async () => {
    const [litert, wasm] = await Promise.all([startRuntime('litert', options), startRuntime('tfjs-tflite', options)])
    await litert.load('wide', made('wide'))
    const x = new Uint8Array(BigInt64Array.of(2n ** 53n + 1n, -5n, 0n).buffer)
    const { outputs } = await litert.invoke('wide', new Map([['x', x]]))
    expect([...new BigInt64Array(outputs.get('y')?.slice().buffer ?? new ArrayBuffer(0))]).toEqual([
      2n ** 54n + 2n,
      -10n,
      0n
    ])
    await expect(wasm.load('wide', made('wide'))).rejects.toMatchObject({
      code: 'model-refused',
      message: expect.stringContaining('int64')
    })
    await Promise.all([litert.close(), wasm.close()])
  })
})

describe('tfjs-tflite-node', () => {
  it('refuses a dense layer with a scale per channel, whose every output would be the zero point', async () => {
    const [native, wasm] = await Promise.all([startRuntime('tfjs-tflite-node', {}), startRuntime('tfjs-tflite', {})])
    const file = made('int8-per-channel')
    await expect(native.load('m', file)).rejects.toMatchObject({
      code: 'model-refused',
      message: expect.stringContaining('FULLY_CONNECTED')
    })
    const inputs = randomInputs(await wasm.load('m', file), 3)
    const { outputs } = await wasm.invoke('m', inputs)
    const reference = new Int8Array((await runInPython(file, inputs)).values.get('output_0')?.slice().buffer ?? [])
    expect(new Set(reference).size).toBeGreaterThan(1)
    expect([...new Int8Array(outputs.get('output_0')?.slice().buffer ?? [])]).toEqual([...reference])
    await Promise.all([native.close(), wasm.close()])
  })

  it('gives memory back, although its addon cannot release a model', async () => {
    const runtime = await startRuntime('tfjs-tflite-node', options)
    const file = faces('face_detection_full_range.tflite')
    const measure = async () => {
      const loaded = await runtime.load('face', file)
      await runtime.invoke('face', randomInputs(loaded, 1))
      await runtime.unload('face')
      return (await runtime.stats()).rssBytes
    }
    const first = await measure()
    for (let i = 0; i < 12; i++) await measure()
    // Twelve models that stay would be some hundred megabytes.
    expect((await measure()) - first).toBeLessThan(60e6)
    await runtime.close()
  }, 60_000)
})

describe('tfjs-tflite', () => {
  // As the package is, its memory is full of forgotten handles by then, and calls fail.
  it('still answers after fifteen thousand calls', async () => {
    const runtime = await startRuntime('tfjs-tflite', options)
    const inputs = randomInputs(await runtime.load('pair', made('pair')), 10)
    const first = await runtime.invoke('pair', inputs)
    for (let i = 0; i < 15_000; i++) await runtime.invoke('pair', inputs)
    expect((await runtime.invoke('pair', inputs)).outputs).toEqual(first.outputs)
    await runtime.close()
  }, 60_000)
})

describe('startRuntime', () => {
  it('says why when the library cannot be loaded', async () => {
    await expect(startRuntime('litert', {})).rejects.toMatchObject({ code: 'runtime-unavailable' })
    const wrong = { liteRtLibrary: path.join(scratch, 'no-library.so') }
    await expect(startRuntime('litert', wrong)).rejects.toMatchObject({
      code: 'runtime-unavailable',
      message: expect.stringContaining('no-library.so')
    })
  })

  it('gives the process none of our environment', async () => {
    process.env.SKERRY_TEST_SECRET = 'seen'
    const runtime = await startRuntime('litert', options)
    expect(await readFile(`/proc/${runtime.pid}/environ`, 'utf8')).not.toContain('seen')
    await runtime.close()
    delete process.env.SKERRY_TEST_SECRET
  })
})
