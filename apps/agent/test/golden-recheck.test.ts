import { EventEmitter, once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { DesiredArtifact } from '@skerry/contracts'
import { encodeTensorBundle } from '@skerry/converter'
import { type StartRuntimeOptions, startRuntime, type TfliteRuntime } from '@skerry/runtimes'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { ArtifactCache } from '../src/artifact-cache.ts'
import { BlobClient } from '../src/blob-client.ts'
import { endpointsOf } from '../src/endpoints.ts'
import { GoldenLog, type Versions } from '../src/golden-log.ts'
import { HttpExchange } from '../src/http-exchange.ts'
import { type PlacementFrame, Reconciler } from '../src/reconciler.ts'
import { RuntimeHost } from '../src/runtime-host.ts'
import type { ControlPlane } from './control-plane.ts'
import { faceDetector } from './models.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  await fleet.close()
})

const model = faceDetector()
const log = pino({ level: 'silent' })
const samples = [1, 2].map((k) => Float32Array.from({ length: model.inputElements }, (_, i) => Math.sin(k * i)))
const side = Math.sqrt(model.inputElements / 3)

/** A model with the golden files that a converter would have made of it: its own answers. */
async function proven(controlPlane: ControlPlane, dataDir: string): Promise<DesiredArtifact> {
  const path = join(dataDir, 'model.tflite')
  await writeFile(path, model.bytes)
  const runtime = await startRuntime('tfjs-tflite', {})
  const { outputs } = await runtime.load('m', path)
  const answers: Map<string, Uint8Array>[] = []
  for (const sample of samples) {
    const input = new Map([[model.input, new Uint8Array(sample.buffer)]])
    answers.push((await runtime.invoke('m', input)).outputs)
  }
  await runtime.close()
  const floats = (parts: readonly Uint8Array[]): Float32Array<ArrayBuffer> =>
    new Float32Array(Uint8Array.from(Buffer.concat(parts)).buffer)
  const count = samples.length
  const inputs = floats(samples.map((sample) => new Uint8Array(sample.buffer)))
  const tensors = outputs.map(({ name, shape }, index) => {
    const data = floats(answers.map((answer) => answer.get(name) ?? new Uint8Array(0)))
    return { name: `values/${index}`, dtype: 'float32' as const, shape: [count, ...shape], data }
  })
  const input = { name: model.input, dtype: 'float32' as const, shape: [count, 1, side, side, 3], data: inputs }
  const meta = {
    variant: 'float32',
    runtime: 'tfjs-tflite',
    version: '1',
    outputs: outputs.map(({ name }) => ({ name }))
  }
  return controlPlane.place('faces', model.bytes, 'tfjs-tflite', {
    names: model.names,
    goldenInputs: controlPlane.addBlob(encodeTensorBundle([input], { golden: 'inputs' })),
    goldenOutputs: controlPlane.addBlob(encodeTensorBundle(tensors, { golden: 'outputs', ...meta }))
  })
}

/** A runtime whose answers go wrong on command, as a broken kernel's do: without an error. */
function fickle(runtime: TfliteRuntime, kernels: { broken: boolean; runs: number }): TfliteRuntime {
  return {
    info: runtime.info,
    pid: runtime.pid,
    load: (...args) => runtime.load(...args),
    resize: (...args) => runtime.resize(...args),
    unload: (id) => runtime.unload(id),
    stats: () => runtime.stats(),
    close: () => runtime.close(),
    onExit: (listener) => runtime.onExit(listener),
    invoke: async (...args) => {
      const result = await runtime.invoke(...args)
      kernels.runs++
      if (kernels.broken) for (const bytes of result.outputs.values()) bytes.fill(0)
      return result
    }
  }
}

async function device(options: StartRuntimeOptions = {}) {
  const controlPlane = await fleet.controlPlane()
  const dataDir = await fleet.dataDir()
  const wish = await proven(controlPlane, dataDir)
  const kernels = { broken: false, runs: 0 }
  const versions: Versions = { runtime: 'tfjs-tflite 1', library: 'old' }
  const http = new HttpExchange()
  const token = controlPlane.issueHttpToken()
  const { blob: blobUrl } = endpointsOf(new URL(controlPlane.url))
  const blobs = new BlobClient({ http, blobUrl, httpToken: () => token, random: () => 0 })
  const cache = await ArtifactCache.open(join(dataDir, 'artifacts'), blobs, () => 0, { maxBytes: 1e9, now: Date.now })
  const pids: number[] = []
  const frames: PlacementFrame[] = []
  const events = new EventEmitter()
  const start = async (): Promise<Reconciler> => {
    const goldens = await GoldenLog.open(join(dataDir, 'goldens.json'), log)
    const host: RuntimeHost = new RuntimeHost({
      start: async (name) => {
        const runtime = await startRuntime(name, options)
        pids.push(runtime.pid)
        return fickle(runtime, kernels)
      },
      threads: 1,
      processes: 1,
      invokeTimeoutMs: 60_000,
      log,
      onLost: (runtime, models) => reconciler.runtimeLost(runtime, models)
    })
    const reconciler: Reconciler = new Reconciler({
      cache,
      host,
      controlPlanePublicKey: controlPlane.publicKey,
      log,
      report: (frame) => {
        frames.push(frame)
        events.emit('frame')
      },
      goldens,
      versionsOf: () => Promise.resolve({ ...versions }),
      random: () => 0,
      now: Date.now,
      onPoint: () => undefined
    })
    ends.push(async () => {
      await reconciler.stop()
      await host.close()
      await goldens.close()
    })
    reconciler.setDesired([wish])
    return reconciler
  }
  ends.push(() => Promise.resolve(http.close()))
  const state = async (wanted: string): Promise<PlacementFrame> => {
    for (;;) {
      const frame = frames.at(-1)
      if (frame?.state === wanted) return frame
      await once(events, 'frame', { signal: AbortSignal.timeout(20_000) })
    }
  }
  return { start, state, frames, kernels, versions, pids, cache, wish }
}

describe('golden inputs that are checked again', () => {
  it('leave a model ready all the while that still answers as it should', async () => {
    const { start, state, frames, kernels, wish } = await device()
    const reconciler = await start()
    await state('ready')
    const [before, runs] = [frames.length, kernels.runs]
    reconciler.recheck()
    expect(reconciler.placements()).toMatchObject([{ state: 'ready' }])
    // Answers a job in the meantime, which needs no check to have ended.
    await reconciler.ready('faces', wish.artifact, AbortSignal.timeout(1_000))
    await until(() => kernels.runs === runs + samples.length)
    expect(frames.slice(before)).toEqual([])
  })

  it('fail a model that no longer does, in words', async () => {
    const { start, state, kernels } = await device()
    const reconciler = await start()
    await state('ready')
    kernels.broken = true
    reconciler.recheck()
    expect((await state('failed')).reason).toMatch(/does not answer golden input 0/)
  })

  it('fail after an upgrade under the running agent, once the runtime starts again, and say what has changed', async () => {
    const { start, state, kernels, versions, pids } = await device()
    await start()
    await state('ready')
    versions.library = 'new'
    kernels.broken = true
    process.kill(pids[0] ?? 0, 'SIGKILL')
    expect((await state('failed')).reason).toMatch(/Since it last did: library was old and is new/)
  })

  it('are not run again for a runtime that was lost and is the same', async () => {
    const { start, state, frames, kernels, pids } = await device()
    await start()
    await state('ready')
    const runs = kernels.runs
    process.kill(pids[0] ?? 0, 'SIGKILL')
    await state('loading')
    await state('ready')
    expect(kernels.runs).toBe(runs)
    expect(frames.filter((frame) => frame.state === 'checking')).toHaveLength(1)
  })

  it('know over a restart of the agent with what they last passed', async () => {
    const { start, state, frames, kernels, versions } = await device()
    await start()
    await state('ready')
    await ends.pop()?.()
    frames.length = 0
    versions.runtime = 'tfjs-tflite 2'
    kernels.broken = true
    await start()
    expect((await state('failed')).reason).toMatch(/runtime was tfjs-tflite 1 and is tfjs-tflite 2/)
  })

  it('are fetched again where their files rotted on the disk', async () => {
    const { start, state, frames, cache, wish } = await device()
    const reconciler = await start()
    await state('ready')
    await writeFile(cache.path(wish.manifest.goldenOutputs ?? ''), 'rot')
    frames.length = 0
    reconciler.recheck()
    await state('fetching')
    await state('ready')
  })
})

/** A real process that answers -54 to whatever it is loaded with from a file, as arm64 kernels did for another CPU. */
const constantKernels = {
  command: process.execPath,
  args: [
    fileURLToPath(new URL('../../../packages/runtimes/test/constant-kernels-child.mjs', import.meta.url)),
    'artifacts'
  ]
}

describe('golden inputs on a runtime that starts well, computes wrongly and says nothing', () => {
  it('keep the model from being served, and name the runtime, the output and how far it is off', async () => {
    const { start, state, frames } = await device({ launcher: constantKernels })
    await start()
    const { reason } = await state('failed')
    expect(reason).toMatch(/^tfjs-tflite on this device does not answer golden input 0/)
    expect(reason).toMatch(/output \S+ is off by [\d.]+ \(absolute\), at most 0\.0001 is allowed/)
    expect(frames.map((frame) => frame.state)).not.toContain('ready')
  })
})

/** For what announces itself to nobody. */
async function until(holds: () => boolean): Promise<void> {
  const deadline = AbortSignal.timeout(20_000)
  while (!holds()) {
    deadline.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
