/*
 * Every runtime on real models: what the operator table says runs, runs, and answers what Python's ai-edge-litert
 * answers on the same inputs; what it says is missing is refused by that operator's name.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readTflite, type TensorSpec, type TfliteModel, tensorBytes } from '@skerry/tflite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  describeMissing,
  type MissingOperator,
  missingOperators,
  type RuntimeName,
  runtimeNames,
  startRuntime,
  type TfliteRuntime
} from '../src/index.ts'
import { emulated } from './emulated.ts'
import { findLiteRt, packagedModel, python, seededRandom } from './python-reference.ts'

const here = path.dirname(fileURLToPath(import.meta.url))
const packages = ['face_detection', 'hands', 'pose', 'selfie_segmentation'].map((name) => `@mediapipe/${name}`)

/** The heaviest takes seconds on the slower runtimes and has the lighter ones' operators. */
const leftOut = new Set(['pose_landmark_heavy.tflite'])

type Case = { name: string; file: string; model: TfliteModel; inputs: Map<string, Uint8Array> }

const cases = await Promise.all([...(await packagedModels()), ...(await exampleVariants())].map(openCase))
let scratch: string
let expected: Map<string, Map<string, Uint8Array>>

async function packagedModels(): Promise<string[]> {
  const found: string[] = []
  for (const name of packages) {
    const folder = path.dirname(packagedModel(name, 'package.json'))
    for (const file of (await readdir(folder)).sort()) {
      if (file.endsWith('.tflite') && !leftOut.has(file)) found.push(path.join(folder, file))
    }
  }
  return found
}

/**
 * The worked example's artifacts, where it ran here: they lie by their hash among the blobs. On an emulated CPU
 * worked-example.test.ts has them all.
 */
async function exampleVariants(): Promise<string[]> {
  const dataDir = process.env.SKERRY_DATA_DIR ?? path.resolve(here, '../../../.skerry')
  const folder = path.join(dataDir, 'blobs/sha256')
  if (emulated !== null || !existsSync(folder)) return []
  const found = new Map<number, string>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const file = path.join(entry.parentPath, entry.name)
    const handle = await open(file)
    const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, 0)
    // One of each size: the variants differ in theirs, and the same variant made twice is in there twice.
    if (buffer.toString('latin1', 4) === 'TFL3') found.set((await handle.stat()).size, file)
    await handle.close()
  }
  return [...found.values()]
}

async function openCase(file: string): Promise<Case> {
  const model = readTflite(await readFile(file))
  const name = file.endsWith('.tflite') ? path.basename(file) : `artifact ${path.basename(file).slice(0, 12)}`
  return { name, file, model, inputs: inputsOf(borders(model).inputs, name) }
}

/** Name and tensor of the default signature. */
function borders(model: TfliteModel): { inputs: [string, TensorSpec][]; outputs: [string, TensorSpec][] } {
  const signature = model.signatures.find((each) => each.key === 'serving_default') ?? model.signatures[0]
  const graph = model.subgraphs[signature?.subgraph ?? 0]
  const named = (names: Record<string, number> | undefined, tensors: TensorSpec[] = []): [string, TensorSpec][] =>
    names === undefined
      ? tensors.map((tensor) => [tensor.name, tensor])
      : Object.entries(names).map(([name, position]) => [name, tensors[position] as TensorSpec])
  return { inputs: named(signature?.inputs, graph?.inputs), outputs: named(signature?.outputs, graph?.outputs) }
}

/** Pictures in [0, 1], as most of these models take: waves with a little noise, since noise alone is answered by constants. */
function inputsOf(inputs: [string, TensorSpec][], seed: string): Map<string, Uint8Array> {
  const random = seededRandom(createHash('sha256').update(seed).digest().readUInt32LE())
  return new Map(
    inputs.map(([name, { dtype, shape }]) => {
      const bytes = new Uint8Array(tensorBytes(dtype, shape) ?? 0)
      const length = dtype === 'float32' ? bytes.length / 4 : bytes.length
      const wave = (at: number) => 0.5 + 0.4 * Math.sin(at / 97) * Math.cos(at / 1301) + 0.1 * (random() * 2 - 1)
      const values = Float32Array.from({ length }, (_, at) => wave(at))
      if (dtype === 'float32') bytes.set(new Uint8Array(values.buffer))
      else bytes.set(Array.from(values, (value) => Math.round(value * 127)))
      return [name, bytes]
    })
  )
}

async function runReference(): Promise<Map<string, Map<string, Uint8Array>>> {
  const listed: { model: string; folder: string }[] = []
  for (const { file, inputs } of cases) {
    const folder = path.join(scratch, `${listed.length}`)
    await mkdir(folder)
    for (const [name, bytes] of inputs) await writeFile(path.join(folder, `${name.replaceAll('/', '%')}.in`), bytes)
    listed.push({ model: file, folder })
  }
  await writeFile(path.join(scratch, 'cases.json'), JSON.stringify(listed))
  await promisify(execFile)(python, [path.join(here, 'conformance.py'), scratch])
  const all = new Map<string, Map<string, Uint8Array>>()
  for (const [index, { name, model }] of cases.entries()) {
    const read = (output: string) => readFile(path.join(scratch, `${index}`, `${output.replaceAll('/', '%')}.out`))
    const outputs = borders(model).outputs.map(async ([output]) => [output, await read(output)] as const)
    all.set(name, new Map(await Promise.all(outputs)))
  }
  return all
}

/** Largest difference: in steps of a whole-number output, relative to the largest value of a float one. */
function difference(actual: Uint8Array, reference: Uint8Array, dtype: string): number {
  const array = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array }[dtype]
  if (array === undefined) throw new Error(`no output of ${dtype} was expected`)
  const [a, b] = [new array(actual.slice().buffer), new array(reference.slice().buffer)]
  if (a.length !== b.length || a.length === 0) return Number.NaN
  let [largest, range] = [0, dtype === 'float32' ? Number.MIN_VALUE : 1]
  for (const [index, value] of b.entries()) {
    largest = Math.max(largest, Math.abs((a[index] ?? Number.NaN) - value))
    if (dtype === 'float32') range = Math.max(range, Math.abs(value))
  }
  return largest / range
}

/**
 * LiteRT from Node and from Python is the same library and gave the same bits; others 1e-4, as a float32 conversion may.
 * TensorFlow.js's WASM has XNNPACK as well, so int8 is the same to the step; its native runtime has other kernels, 4 to 6
 * steps apart.
 */
const tolerances: Record<RuntimeName, { float32: number; steps: number }> = {
  litert: { float32: 1e-6, steps: 0 },
  'tfjs-tflite': { float32: 1e-4, steps: 1 },
  'tfjs-tflite-node': { float32: 1e-4, steps: 6 }
}

/**
 * The pose models' mask is logits down to -1000: other kernels were 2e-4 to 5e-4 of that apart at single pixels, while
 * the whole stayed at 83 dB and more.
 */
const exceptions: Record<string, Record<string, number>> = {
  'pose_landmark_full.tflite': { Identity_2: 1e-3 },
  'pose_landmark_lite.tflite': { Identity_2: 1e-3 }
}

/** Mean-removed, as conversions are judged; infinite for equal tensors. */
function signalToNoiseDb(actual: Uint8Array, reference: Uint8Array): number {
  const [a, b] = [new Float32Array(actual.slice().buffer), new Float32Array(reference.slice().buffer)]
  const mean = b.reduce((sum, value) => sum + value, 0) / b.length
  const signal = b.reduce((sum, value) => sum + (value - mean) ** 2, 0)
  return 10 * Math.log10(signal / b.reduce((sum, value, at) => sum + (value - (a[at] ?? Number.NaN)) ** 2, 0))
}

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-conformance-'))
  expected = await runReference()
}, 180_000)

afterAll(() => rm(scratch, { recursive: true }))

for (const runtimeName of emulated?.runtimes ?? runtimeNames) {
  describe(`${runtimeName} on real models`, () => {
    let runtime: TfliteRuntime

    beforeAll(async () => {
      runtime = await startRuntime(runtimeName, emulated ?? (await findLiteRt()))
    }, 180_000)

    afterAll(() => runtime.close())

    it.each(cases.map(({ name }, index) => [name, index] as const))(
      '%s',
      async (name, index) => {
        const { file, model, inputs } = cases[index] as Case
        const missing = missingOperators(runtimeName, model.operators)
        const loading = runtime.load(name, file)
        if (missing.length > 0) {
          await expect(loading).rejects.toMatchObject({ code: 'model-refused', message: refusalOf(missing) })
          return
        }
        await loading.catch((error: Error) => {
          throw new Error(`${error.message}; the table says it runs${describeMissing(runtimeName, missing)}`)
        })
        const { outputs } = await runtime.invoke(name, inputs)
        for (const [output, { dtype }] of borders(model).outputs) {
          const reference = expected.get(name)?.get(output) ?? new Uint8Array(0)
          // The artifacts' one int8 answer is one byte.
          if (reference.length > 1) expect(new Set(reference).size, `${output} of the reference`).toBeGreaterThan(1)
          const bytes = outputs.get(output) ?? new Uint8Array(0)
          // On another CPU, LiteRT has other kernels as well.
          const sameKernels = runtimeName === 'litert' && emulated === null
          const { float32, steps } = sameKernels
            ? tolerances.litert
            : tolerances[emulated ? 'tfjs-tflite' : runtimeName]
          const exception = sameKernels ? undefined : exceptions[name]?.[output]
          const limit = dtype === 'float32' ? (exception ?? float32) : steps
          expect(difference(bytes, reference, dtype), output).toBeLessThanOrEqual(limit)
          if (dtype === 'float32' && reference.length > 4) {
            expect(signalToNoiseDb(bytes, reference), output).toBeGreaterThan(80)
          }
        }
        await runtime.unload(name)
      },
      emulated === null ? 60_000 : 600_000
    )
  })
}

/** Runtimes stop at the first operator that they miss. */
function refusalOf(missing: MissingOperator[]): unknown {
  return expect.stringMatching(new RegExp(missing.map(({ name }) => name).join('|')))
}

const mismatched = emulated?.mismatched
describe.runIf(mismatched !== undefined)('litert on an arm64 CPU with the /proc/cpuinfo of x86-64', () => {
  it('does not start, rather than answer wrongly or end at the first model', async () => {
    const options = { ...emulated, ...(mismatched === undefined ? {} : { launcher: mismatched }) }
    await expect(startRuntime('litert', options)).rejects.toMatchObject({ code: 'runtime-unavailable' })
  }, 180_000)
})

it('has real models, and operators that some runtime misses, to test with', () => {
  expect(cases.length).toBeGreaterThanOrEqual(9)
  const missed = cases.filter(({ model }) => missingOperators('tfjs-tflite', model.operators).length > 0)
  expect(missed.length).toBeGreaterThan(0)
})
