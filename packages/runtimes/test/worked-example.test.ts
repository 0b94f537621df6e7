/*
 * Every variant of the worked example on every runtime, over pictures that the model answers differently: within what a
 * golden check allows of what Python's ai-edge-litert answers here, or refused by the operator that the table says is
 * missing. `npm run test:arch` makes the variants; else they are those that a benchmark has made.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readTflite } from '@skerry/tflite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { missingOperators, type RuntimeName, runtimeNames, startRuntime, type TfliteRuntime } from '../src/index.ts'
import { emulated } from './emulated.ts'
import { findLiteRt, python } from './python-reference.ts'

const here = path.dirname(fileURLToPath(import.meta.url))
const dataDir = process.env.SKERRY_DATA_DIR ?? path.resolve(here, '../../../.skerry')
const example = path.join(dataDir, 'example/alpha-1.0')
const folder = path.join(example, 'variants')
const variants = existsSync(folder) ? (await readdir(folder)).map((file) => path.basename(file, '.tflite')).sort() : []
const pictures = [0, 1, 2, 3]

/**
 * As goldens are compared (@skerry/converter), which this package knows nothing of. Steps of an int8 output; else the
 * output's own unit, of which the sigmoid has one.
 */
function tolerance(runtime: RuntimeName, variant: string): number {
  if (variant === 'full_int8') return runtime === 'tfjs-tflite-node' ? 8 : 2
  return variant === 'float32' || variant === 'float16' ? 1e-4 : 0.05
}

let answers: string

beforeAll(async () => {
  answers = await mkdtemp(path.join(tmpdir(), 'skerry-example-'))
  const script = path.join(here, 'worked_example.py')
  await promisify(execFile)(python, [script, folder, path.join(example, 'evaluation.npz'), answers])
}, 180_000)

afterAll(() => rm(answers, { recursive: true }))

const bytesOf = async (variant: string, picture: number, kind: 'in' | 'out') =>
  Uint8Array.from(await readFile(path.join(answers, `${variant}.${picture}.${kind}`)))

function answerIn(bytes: Uint8Array): number {
  if (bytes.length === 1) return Int8Array.from(bytes)[0] ?? Number.NaN
  expect(bytes.length, 'bytes of a float32').toBe(4)
  return new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true)
}

for (const name of emulated?.runtimes ?? runtimeNames) {
  describe.runIf(variants.length > 0)(`${name} on the worked example`, () => {
    let runtime: TfliteRuntime

    beforeAll(async () => {
      runtime = await startRuntime(name, emulated ?? (await findLiteRt()))
    }, 180_000)

    afterAll(() => runtime.close())

    it.each(variants)(
      '%s',
      async (variant) => {
        const file = path.join(folder, `${variant}.tflite`)
        const missing = missingOperators(name, readTflite(await readFile(file)).operators)
        if (missing.length > 0) {
          const message = expect.stringMatching(new RegExp(missing.map((each) => each.name).join('|')))
          await expect(runtime.load(variant, file)).rejects.toMatchObject({ code: 'model-refused', message })
          return
        }
        const { inputs, outputs } = await runtime.load(variant, file)
        const differences: number[] = []
        for (const picture of pictures) {
          const taken = new Map([[inputs[0]?.name ?? '', await bytesOf(variant, picture, 'in')]])
          const given = (await runtime.invoke(variant, taken)).outputs.get(outputs[0]?.name ?? '')
          const expected = answerIn(await bytesOf(variant, picture, 'out'))
          differences.push(Math.abs(answerIn(given ?? new Uint8Array(0)) - expected))
        }
        await runtime.unload(variant)
        if (emulated !== null)
          console.log(`${name} ${variant}: ${differences.map((each) => each.toPrecision(2)).join(' ')}`)
        expect(Math.max(...differences), `largest of ${differences.join(' ')}`).toBeLessThanOrEqual(
          tolerance(name, variant)
        )
      },
      emulated === null ? 60_000 : 900_000
    )
  })
}

it.runIf(variants.length > 0)('has pictures that the model answers far from alike', async () => {
  for (const variant of variants) {
    const expected = await Promise.all(
      pictures.map(async (picture) => answerIn(await bytesOf(variant, picture, 'out')))
    )
    const apart = Math.max(...expected) - Math.min(...expected)
    expect(apart, variant).toBeGreaterThan(variant === 'full_int8' ? 128 : 0.5)
  }
})

it.runIf(emulated !== null)('has the variants that an emulated CPU is to run', () => {
  expect(variants).toEqual(['dynamic_int8', 'float16', 'float32', 'full_int8', 'int16x8'])
})
