import { readFile } from 'node:fs/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { type StartRuntimeOptions, startRuntime, type TfliteRuntime } from '../src/index.ts'
import { placeTensors, worthSharing } from '../src/shared-tensors.ts'
import { findLiteRt, packagedModel, seededRandom } from './python-reference.ts'

const file = packagedModel('@mediapipe/selfie_segmentation', 'selfie_segmentation.tflite')

let options: StartRuntimeOptions

beforeAll(async () => {
  options = await findLiteRt()
}, 120_000)

function inputs(seed: number): Map<string, Uint8Array> {
  const random = seededRandom(seed)
  return new Map([['input_1', new Uint8Array(Float32Array.from({ length: 256 * 256 * 3 }, random).buffer)]])
}

async function outputOf(runtime: TfliteRuntime, seed: number): Promise<Uint8Array | undefined> {
  return (await runtime.invoke('selfie', inputs(seed))).outputs.get('activation_10')
}

/** `toEqual` takes seconds over a quarter of a million bytes. */
const same = (one: Uint8Array | undefined, other: Uint8Array | undefined): boolean =>
  one !== undefined && other !== undefined && Buffer.compare(one, other) === 0

const mapsShared = async ({ pid }: TfliteRuntime): Promise<boolean> =>
  (await readFile(`/proc/${pid}/maps`, 'utf8')).includes('/dev/shm/skerry-')

/** A child whose descriptor of shared memory is something else. */
const withInstead = (redirection: string): StartRuntimeOptions => ({
  ...options,
  launcher: { command: '/bin/sh', args: ['-c', `exec "$0" "$@" ${redirection}`, process.execPath] }
})

describe('tensors that cross by shared memory', () => {
  it('are the same through the socket, where there is no memory to share or it is full', async () => {
    const shared = await startRuntime('litert', options)
    await shared.load('selfie', file)
    const expected = await outputOf(shared, 1)
    expect(await mapsShared(shared)).toBe(true)
    await shared.close()
    expect(expected?.byteLength).toBe(256 * 256 * 4)
    for (const redirection of ['4<>/dev/full', '4<>/dev/null']) {
      const runtime = await startRuntime('litert', withInstead(redirection))
      await runtime.load('selfie', file)
      expect(same(await outputOf(runtime, 1), expected), redirection).toBe(true)
      expect(await mapsShared(runtime)).toBe(false)
      await runtime.close()
    }
  })

  it('belong to whoever got them: later calls, other models and other inputs leave them alone', async () => {
    const runtime = await startRuntime('litert', options)
    await runtime.load('selfie', file)
    const first = await outputOf(runtime, 1)
    const kept = first?.slice()
    await runtime.load('same', file)
    const given = inputs(2)
    const second = runtime.invoke('same', given)
    const third = outputOf(runtime, 3)
    const other = (await second).outputs.get('activation_10')
    for (const later of [other, await third]) expect(same(later, kept)).toBe(false)
    other?.fill(7)
    await runtime.unload('same')
    expect(same(await outputOf(runtime, 1), kept)).toBe(true)
    expect(same(first, kept)).toBe(true)
    expect(same(given.get('input_1'), inputs(2).get('input_1'))).toBe(true)
    await runtime.close()
  })
})

describe('placeTensors', () => {
  it('begins each tensor at a multiple of 64 bytes, apart from every other', () => {
    const { inputs, outputs, bytes } = placeTensors([100, 0, 64], [65, 1])
    expect([inputs, outputs]).toEqual([
      [0, 128, 128],
      [192, 320]
    ])
    // Kernels read a little past a tensor's end.
    expect(bytes).toBeGreaterThanOrEqual(321 + 128)
  })
})

describe('worthSharing', () => {
  it('leaves what is small to the channel', () => {
    expect([worthSharing([]), worthSharing([4, 4]), worthSharing([8192, 8192])]).toEqual([false, false, true])
  })
})
