import { describe, expect, it } from 'vitest'
import { startRuntime } from '../src/index.ts'
import { readAccelerators } from '../src/litert-accelerators.ts'
import type { LiteRtLibrary } from '../src/litert-library.ts'
import { findLiteRt } from './python-reference.ts'

/** An environment with accelerators for these kinds of hardware, by LiteRT's bits; undefined cannot be asked. */
function environmentOf(...hardware: (number | undefined)[]): LiteRtLibrary {
  return {
    getNumAccelerators: (_environment: bigint, count: [number | bigint]) => {
      count[0] = hardware.length
      return 0
    },
    getAccelerator: (_environment: bigint, index: number, accelerator: [bigint | null]) => {
      accelerator[0] = BigInt(index + 1)
      return 0
    },
    getAcceleratorHardwareSupport: (accelerator: bigint, support: [number | bigint]) => {
      const bits = hardware[Number(accelerator) - 1]
      support[0] = bits ?? 0
      return bits === undefined ? 3 : 0
    }
  } as unknown as LiteRtLibrary
}

describe('accelerators of LiteRT', () => {
  it.each([
    { hardware: [1], found: ['cpu'] },
    { hardware: [4, 2, 1], found: ['npu', 'gpu', 'cpu'] },
    { hardware: [3, 1], found: ['cpu', 'gpu'] },
    { hardware: [undefined, 1], found: ['cpu'] },
    { hardware: [], found: [] }
  ])('are $found where its environment has $hardware', ({ hardware, found }) => {
    expect(readAccelerators(environmentOf(...hardware), 1n)).toEqual(found)
  })

  it('are told by the runtime that has started, as its library found them', async () => {
    const runtime = await startRuntime('litert', await findLiteRt())
    expect(runtime.info.accelerators).toContain('cpu')
    await runtime.close()
  })

  it('are not claimed by a runtime that does not tell', async () => {
    const runtime = await startRuntime('tfjs-tflite', {})
    expect(runtime.info.accelerators).toBeUndefined()
    await runtime.close()
  })
})
