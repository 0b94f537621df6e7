import { describe, expect, it } from 'vitest'
import { readTflite } from '../src/index.ts'
import { realModels } from './real-models.ts'

const models = realModels()

function model(name: string): Uint8Array {
  const bytes = models.get(name)
  if (bytes === undefined) throw new Error(`no ${name}`)
  return bytes
}

describe('readTflite on models that shipped', () => {
  it('tells names, types and shapes at the borders', () => {
    const { inputs, outputs, schemaVersion, signatures } = readTflite(model('face_detection_short_range.tflite'))
    const shape = [1, 128, 128, 3]
    expect(schemaVersion).toBe(3)
    expect(inputs).toEqual([{ name: 'input', dtype: 'float32', shape, shapeSignature: shape }])
    expect(outputs.map(({ name, shape }) => [name, shape])).toEqual([
      ['regressors', [1, 896, 16]],
      ['classificators', [1, 896, 1]]
    ])
    expect(signatures).toEqual([])
  })

  it('counts operators with their versions, custom ones by their code', () => {
    const { operators } = readTflite(model('selfie_segmentation.tflite'))
    expect(operators).toContainEqual({ name: 'CONV_2D', version: 1, custom: false, count: 43 })
    expect(operators).toContainEqual({ name: 'DEQUANTIZE', version: 2, custom: false, count: 110 })
    expect(operators).toContainEqual({ name: 'Convolution2DTransposeBias', version: 1, custom: true, count: 1 })
    // The last node of the graph is number 244.
    expect(operators.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(200)
  })

  it('sums the weights to less than the file, and to most of it', () => {
    for (const [name, bytes] of models) {
      const { bufferBytes } = readTflite(bytes)
      expect(bufferBytes, name).toBeLessThan(bytes.length)
      expect(bufferBytes, name).toBeGreaterThan(bytes.length * 0.5)
    }
  })

  it('reads bytes that stand inside a larger buffer', () => {
    const bytes = model('face_detection_short_range.tflite')
    const inside = new Uint8Array(bytes.length + 7)
    inside.set(bytes, 3)
    expect(readTflite(inside.subarray(3, 3 + bytes.length))).toEqual(readTflite(bytes))
  })
})
