import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, it } from 'vitest'
import { startRuntime, type TfliteRuntime } from '../src/index.ts'
import { packagedModel } from './python-reference.ts'

const script = fileURLToPath(new URL('./constant-kernels-child.mjs', import.meta.url))
const constantKernels = (...args: string[]) => ({ command: process.execPath, args: [script, ...args] })

let runtime: TfliteRuntime | undefined
afterEach(async () => {
  await runtime?.close()
  runtime = undefined
})

describe('a process whose kernels answer -54 to everything and say nothing', () => {
  it.each(['float32', 'int8', 'int32'])('does not become a runtime, and says that it is %s', async (dtype) => {
    const started = startRuntime('tfjs-tflite', { launcher: constantKernels('always', dtype) })
    const message = new RegExp(
      `^tfjs-tflite could not be started.*self-test of ${dtype}: this runtime computes wrongly`
    )
    await expect(started).rejects.toMatchObject({
      code: 'runtime-unavailable',
      message: expect.stringMatching(message)
    })
  })

  it('becomes one where our own models do not meet the fault: what remains is to know the answer', async () => {
    runtime = await startRuntime('tfjs-tflite', { launcher: constantKernels('artifacts') })
    const file = packagedModel('@mediapipe/face_detection', 'face_detection_short_range.tflite')
    const { inputs, outputs } = await runtime.load('faces', file)
    const input = new Uint8Array(Float32Array.from({ length: 128 * 128 * 3 }, (_, at) => Math.sin(at)).buffer)
    const answer = await runtime.invoke('faces', new Map([[inputs[0]?.name ?? '', input]]))
    for (const { name } of outputs) {
      const values = new Float32Array(answer.outputs.get(name)?.slice().buffer ?? new ArrayBuffer(0))
      expect(new Set(values)).toEqual(new Set([-54]))
    }
  })
})
