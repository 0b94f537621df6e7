import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { NameMap } from '@skerry/contracts'
import { readTflite } from '@skerry/tflite'

const require = createRequire(fileURLToPath(new URL('../../../packages/runtimes/package.json', import.meta.url)))

export type TestModel = { bytes: Uint8Array; names: NameMap; input: string; inputElements: number; outputs: string[] }

/** Real models of npm packages that packages/runtimes tests with; the names map is the identity. */
export function realModel(specifier: string): TestModel {
  const bytes = readFileSync(require.resolve(specifier))
  const { inputs, outputs } = readTflite(bytes)
  const [input] = inputs
  if (input === undefined) throw new Error(`${specifier} has no input`)
  const same = (tensors: readonly { name: string }[]): Record<string, string> =>
    Object.fromEntries(tensors.map(({ name }) => [name, name]))
  return {
    bytes,
    names: { inputs: same(inputs), outputs: same(outputs) },
    input: input.name,
    inputElements: input.shape.reduce((product, n) => product * n, 1),
    outputs: outputs.map(({ name }) => name)
  }
}

export const faceDetector = (): TestModel => realModel('@mediapipe/face_detection/face_detection_short_range.tflite')

/** Its inputs and outputs as a conversion would tell them: any batch, float32. */
export function bordersOf({ bytes }: TestModel) {
  const { inputs, outputs } = readTflite(bytes)
  const told = (tensors: readonly { name: string; shape: readonly number[] }[]) =>
    tensors.map(({ name, shape }) => ({ name, datatype: 'FP32' as const, shape: [-1, ...shape.slice(1)] }))
  return { inputs: told(inputs), outputs: told(outputs) }
}
