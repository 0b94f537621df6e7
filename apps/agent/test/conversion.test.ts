import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ConversionResult, DesiredArtifact, Manifest } from '@skerry/contracts'
import { decodeGoldenInputs } from '@skerry/converter'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { ControlPlane } from './control-plane.ts'
import { Fleet, liteRtLibrary, python } from './running-agent.ts'

const fleet = new Fleet()
const files = new Fleet()
afterEach(() => fleet.close())
afterAll(() => files.close())

let folder: string
const file = (name: string): Promise<Buffer> => readFile(join(folder, name))

beforeAll(async () => {
  folder = await files.dataDir()
  const script = fileURLToPath(new URL('make-tiny-model.py', import.meta.url))
  await promisify(execFile)(python, [script, folder])
}, 120_000)

/** Stands for the Python of a converter that dies the first `times` times, and is the real one afterwards. */
async function pythonThatDies(times: number): Promise<string> {
  const path = join(await fleet.dataDir(), 'python')
  const deaths = Array.from({ length: times }, (_, i) => `${path}.${i}`)
  const lines = deaths.map((mark) => {
    return `[ -e ${mark} ] || { touch ${mark}; echo 'libtensorflow.so: illegal operand' >&2; kill -SEGV $$; }`
  })
  // Asked for its packages' versions it answers.
  const dies = ['case "$*" in *skerry_converter*)', ...lines, 'esac']
  await writeFile(path, ['#!/bin/sh', ...dies, `exec ${python} "$@"`, ''].join('\n'))
  await chmod(path, 0o755)
  return path
}

async function assignConversion(controlPlane: ControlPlane, source: Buffer, jobId = randomUUID()): Promise<string> {
  const sha256 = controlPlane.addBlob(source)
  controlPlane.send({
    type: 'assign',
    jobId,
    epoch: 1,
    work: {
      kind: 'conversion',
      source: { sha256, bytes: source.byteLength, format: 'keras' },
      variants: ['float32', 'full_int8'],
      calibration: { blob: controlPlane.addBlob(await file('calibration.npz')), format: 'npz' },
      evaluation: { blob: controlPlane.addBlob(await file('evaluation.npz')), format: 'npz' },
      timeLimitMs: 120_000
    }
  })
  return jobId
}

function wishFor(
  controlPlane: ControlPlane,
  conversion: ConversionResult,
  recipe: string,
  goldenOutputs?: string
): DesiredArtifact {
  const variant = conversion.variants.find((variant) => variant.recipe === recipe)
  const bytes = controlPlane.blobs.get(variant?.sha256 ?? '')
  if (variant === undefined || bytes === undefined) throw new Error(`there is no ${recipe}`)
  const goldens: Partial<Manifest> = {
    ...(conversion.goldenInputs === undefined ? {} : { goldenInputs: conversion.goldenInputs }),
    goldenOutputs: goldenOutputs ?? variant.goldenOutputs ?? ''
  }
  return controlPlane.place(recipe.replace('_', '-'), bytes, 'tfjs-tflite', { names: conversion.names, ...goldens })
}

const litert = liteRtLibrary === undefined ? {} : { liteRtLibrary, liteRtVersion: '2.3.0' }

describe('a conversion job', () => {
  it('fails with the last words of a converter that dies; the agent lives and the next job is done', async () => {
    const options = { runtime: 'auto' as const, capabilities: ['infer' as const, 'convert' as const], ...litert }
    const { controlPlane, dataDir } = await fleet.join({ ...options, python: await pythonThatDies(1) })
    const source = await file('model.keras')
    // Both at once: the second waits for the only slot.
    const [first, second] = [await assignConversion(controlPlane, source), await assignConversion(controlPlane, source)]
    const failed = await controlPlane.result(first)
    expect(failed.frame.error).toMatchObject({
      code: 'conversion-crashed',
      retryable: false,
      detail: expect.stringContaining('illegal operand')
    })
    controlPlane.ack(failed.frame)

    await controlPlane.frame('progress', ({ jobId }) => jobId === second)
    const { frame } = await controlPlane.result(second, 1, 120_000)
    expect(frame.error).toBeUndefined()
    expect(controlPlane.sessions).toBe(1)
    const { conversion } = frame
    if (conversion === undefined) throw new Error('there is no conversion')
    expect(conversion.inputs).toMatchObject([{ name: 'features', datatype: 'FP32', shape: [-1, 16] }])
    expect(conversion.variants.map(({ recipe }) => recipe)).toEqual(['float32', 'full_int8'])
    for (const { sha256, goldenOutputs } of conversion.variants) {
      expect(controlPlane.blobs.has(sha256 ?? '')).toBe(true)
      expect(controlPlane.blobs.has(goldenOutputs ?? '')).toBe(true)
    }
    const goldens = decodeGoldenInputs(controlPlane.blobs.get(conversion.goldenInputs ?? '') ?? new Uint8Array(0))
    expect(goldens.tensors).toMatchObject([{ name: 'features', dtype: 'float32', shape: [8, 16] }])
    expect(await readdir(join(dataDir, 'work'))).toEqual([])

    // What was converted is proven on the device before it is served, float and int8 alike.
    const [float, int8] = [wishFor(controlPlane, conversion, 'float32'), wishFor(controlPlane, conversion, 'full_int8')]
    controlPlane.send({ type: 'desired', artifacts: [float, int8] })
    for (const { artifact } of [float, int8]) {
      await controlPlane.frame('placement', (frame) => frame.artifact === artifact && frame.state === 'ready')
    }
    // The float's answers stand for a device that computes something else: int8 does not come within 1e-4 of them.
    const wrong = wishFor(controlPlane, conversion, 'full_int8', conversion.variants[0]?.goldenOutputs)
    controlPlane.send({ type: 'desired', artifacts: [wrong] })
    const refused = await controlPlane.frame('placement', ({ state }) => state === 'failed')
    expect(refused.frame.reason).toMatch(/golden input 0.*scores is off by/)

    const jobId = randomUUID()
    const { artifact, runtime, manifest, signature } = float
    const work = { kind: 'benchmark' as const, artifact, runtime, manifest, signature, warmupRuns: 2, runs: 20 }
    controlPlane.send({ type: 'assign', jobId, epoch: 1, work })
    const { benchmark, error } = (await controlPlane.result(jobId)).frame
    expect(error).toBeUndefined()
    expect(benchmark).toMatchObject({ artifact, runtime, runs: 20 })
    expect(benchmark?.p99Ms).toBeGreaterThanOrEqual(benchmark?.p50Ms ?? Number.POSITIVE_INFINITY)
    expect(benchmark?.warmupRuns).toBe(2)
    const { minMs, p50Ms, p95Ms, p99Ms, maxMs } = benchmark ?? {}
    const ascending = [minMs, p50Ms, p95Ms, p99Ms, maxMs]
    expect(ascending).toEqual(ascending.toSorted((left, right) => Number(left) - Number(right)))
    expect(benchmark?.avgMs).toBeGreaterThan(0)
    expect(benchmark?.peakRssBytes).toBeGreaterThan(10e6)
  }, 180_000)

  it('is refused by a device that does not convert', async () => {
    const { controlPlane } = await fleet.join()
    const jobId = await assignConversion(controlPlane, await file('model.keras'))
    expect((await controlPlane.result(jobId)).frame.error).toMatchObject({ code: 'agent-failed' })
  })

  it('ends when it is cancelled, and leaves nothing on the disk', async () => {
    const { controlPlane, dataDir } = await fleet.join({ capabilities: ['convert'], python })
    const jobId = await assignConversion(controlPlane, await file('model.keras'))
    await controlPlane.frame('progress', (frame) => frame.jobId === jobId)
    controlPlane.send({ type: 'cancel', jobId, epoch: 1 })
    expect((await controlPlane.result(jobId)).frame.error).toMatchObject({ code: 'cancelled', retryable: false })
    expect(await readdir(join(dataDir, 'work'))).toEqual([])
  })

  it('is handed back when the agent stops', async () => {
    const { controlPlane, agent } = await fleet.join({ capabilities: ['convert'], python })
    const jobId = await assignConversion(controlPlane, await file('model.keras'))
    await controlPlane.frame('progress', (frame) => frame.jobId === jobId)
    const stopped = agent.stop()
    const { frame } = await controlPlane.result(jobId)
    expect(frame.error).toMatchObject({ code: 'agent-failed', retryable: true })
    await stopped
  })
})
