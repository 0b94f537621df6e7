import { expect, it } from 'vitest'
import { readTflite, TfliteFormatError, withInputShapes } from '../src/index.ts'
import { realModels } from './real-models.ts'

const [file] = realModels().values()
if (file === undefined) throw new Error('there is no real model to test with')
const input = (bytes: Uint8Array) => readTflite(bytes).subgraphs[0]?.inputs[0]

it('changes the shape of the input that was named, in a copy', () => {
  const before = input(file)?.shape ?? []
  const shape = [2, ...before.slice(1)]
  const changed = withInputShapes(file, 0, [{ position: 0, shape }])
  expect(input(changed)?.shape).toEqual(shape)
  expect(input(file)?.shape).toEqual(before)
  // One number in the whole file: nothing else has moved.
  expect(changed.filter((byte, at) => byte !== file[at])).toHaveLength(1)
})

it('refuses another rank, an input that is not there, and what is no model', () => {
  const refused = (bytes: Uint8Array, position: number, shape: number[]) =>
    expect(() => withInputShapes(bytes, 0, [{ position, shape }])).toThrow(TfliteFormatError)
  refused(file, 0, [2, 2])
  refused(file, 99, [1, 128, 128, 3])
  refused(new Uint8Array(64), 0, [1])
})
