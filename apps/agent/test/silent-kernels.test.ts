/*
 * LiteRT on a CPU whose kernels compute int8 wrongly and say nothing: qemu's `max` claims SVE, and LiteRT's kernels for
 * it answer one number to every picture. Only `npm run test:arch` has that CPU.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { NamedArray } from '@skerry/converter'
import { encodeGoldenInputs, encodeGoldenOutputs } from '@skerry/converter/goldens'
import { ModelSession, type StartRuntimeOptions, startRuntime } from '@skerry/runtimes'
import { readTflite } from '@skerry/tflite'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ArtifactCache } from '../src/artifact-cache.ts'
import type { BlobClient } from '../src/blob-client.ts'
import type { Unit } from '../src/plan.ts'
import { RuntimeHost } from '../src/runtime-host.ts'
import { check } from '../src/steps/check.ts'
import type { StepDeps } from '../src/steps/step-deps.ts'
import { liteRtLibrary, python } from './running-agent.ts'

type Emulated = Required<Pick<StartRuntimeOptions, 'launcher' | 'liteRtLibrary'>> & { silent?: boolean }

const emulated = JSON.parse(process.env.SKERRY_TEST_EMULATED ?? 'null') as Emulated | null
const runtimesTests = fileURLToPath(new URL('../../../packages/runtimes/test', import.meta.url))
const untested = join(runtimesTests, 'untested-litert-child.mjs')
const example = resolve(process.env.SKERRY_DATA_DIR ?? '.skerry', 'example/alpha-1.0')
const model = join(example, 'variants/full_int8.tflite')
const log = pino({ level: 'silent' })

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'skerry-silent-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** The files by which the converter's side would prove the variant: LiteRT's answers on this machine's own CPU. */
async function makeGoldens(): Promise<{ goldenInputs: string; goldenOutputs: string }> {
  const script = join(runtimesTests, 'worked_example.py')
  await promisify(execFile)(python, [script, join(example, 'variants'), join(example, 'evaluation.npz'), folder])
  const pictures = await Promise.all([0, 1, 2, 3].map((each) => readFile(join(folder, `float32.${each}.in`))))
  const floats = (bytes: Uint8Array): Float32Array<ArrayBuffer> => new Float32Array(Uint8Array.from(bytes).buffer)
  const runtime = await startRuntime('litert', liteRtLibrary === undefined ? {} : { liteRtLibrary })
  const session = new ModelSession(runtime, 'm', await runtime.load('m', model))
  const [input, output] = [session.inputs[0]?.name ?? '', session.outputs[0]?.name ?? '']
  const answers: number[] = []
  for (const picture of pictures) {
    const { outputs } = await session.run(new Map([[input, floats(picture)]]))
    answers.push(Number(outputs.get(output)?.data[0]))
  }
  await runtime.close()
  expect(new Set(answers).size).toBeGreaterThan(1)
  const { scales, zeroPoints } = readTflite(await readFile(model)).outputs[0]?.quantization ?? {}
  const [scale = Number.NaN, zeroPoint = Number.NaN] = [scales?.[0], zeroPoints?.[0]].map(Number)
  const count = pictures.length
  const tensors: NamedArray[] = [
    { name: input, dtype: 'float32', shape: [count, 1, 224, 224, 3], data: floats(Buffer.concat(pictures)) }
  ]
  const values: NamedArray = { name: output, dtype: 'float32', shape: [count, 1, 1], data: Float32Array.from(answers) }
  const steps = Int8Array.from(answers, (answer) => Math.round(answer / scale) + zeroPoint)
  const stored = { values: { ...values, dtype: 'int8' as const, data: steps }, scale, zeroPoint }
  const outputs = [{ name: output, values, stored }]
  return {
    goldenInputs: await keep(encodeGoldenInputs({ count, tensors })),
    goldenOutputs: await keep(
      encodeGoldenOutputs({ variant: 'full_int8', runtime: 'litert', version: '1', count, outputs })
    )
  }
}

async function keep(bytes: Uint8Array): Promise<string> {
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  await writeFile(join(folder, sha256), bytes)
  return sha256
}

describe.runIf(emulated?.silent)('litert on a CPU on which it computes wrongly and says nothing', () => {
  it('does not start, and says which element type is wrong', async () => {
    await expect(startRuntime('litert', emulated ?? {})).rejects.toMatchObject({
      code: 'runtime-unavailable',
      message: expect.stringContaining('self-test of int8: this runtime computes wrongly here')
    })
  }, 180_000)

  it('is refused by the golden inputs where the self-test has let it pass', async () => {
    const unit = {
      id: 'm',
      artifact: 'a'.repeat(64),
      runtime: 'litert' as const,
      manifest: await makeGoldens()
    } as unknown as Unit
    const args = [...(emulated?.launcher.args ?? []), untested]
    const host = new RuntimeHost({
      start: (name) =>
        startRuntime(name, { ...emulated, launcher: { ...emulated?.launcher, command: '/usr/bin/env', args } }),
      threads: 1,
      processes: 1,
      invokeTimeoutMs: 300_000,
      log,
      onLost: () => undefined
    })
    const cache = await ArtifactCache.open(folder, {} as BlobClient, () => 0, { maxBytes: 1e9, now: Date.now })
    const deps: StepDeps = { cache, host, controlPlanePublicKey: '', log }
    const [signature] = readTflite(await readFile(model)).signatures
    const same = (names: Record<string, number> = {}) =>
      Object.fromEntries(Object.keys(names).map((name) => [name, name]))
    const names = { inputs: same(signature?.inputs), outputs: same(signature?.outputs) }
    try {
      await host.load({ id: 'm', artifact: unit.artifact, runtime: 'litert', path: model, names })
      await expect(check(unit, deps, new AbortController().signal)).rejects.toMatchObject({
        code: 'golden-mismatch',
        message: expect.stringMatching(/^litert on this device does not answer golden input \d.*\(lsb\), at most 2/)
      })
    } finally {
      await host.close()
    }
  }, 600_000)
})
