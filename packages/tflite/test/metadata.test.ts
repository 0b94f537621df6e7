import { describe, expect, it } from 'vitest'
import { readStandardMetadata, readTfliteMetadata, TfliteFormatError } from '../src/index.ts'
import { realModels, seededRandom } from './real-models.ts'

/** Two inputs of which the second takes images, ImageNet's mean and standard deviation in it; one output with labels. */
const entry = new Uint8Array(
  Buffer.from(
    'HAAAAE0wMDEUABQAEAAMAAAABAAAAAAAAAAIABQAAAAQAAAAFAAAABwAAABUAAAAAQAAAHAAAAAFAAAAMS4wLjAAAAA0AAAAQ29udmVydGVkIG' +
      'J5IFNrZXJyeSB3aXRoIHRoZSByZWNpcGUgZnVsbF9pbnQ4LXVpbnQ4LgAAAAASAAAAbW9kZWwgYWJhYmFiYWJhYmFiAAAMAAwAAAAAAAgABAAM' +
      'AAAACAAAAAwAAAABAAAAJAAAAAIAAAAsAQAAkAAAAAAAEgAMAAgAAAAAAAAAAAAAAAQAEgAAAAgAAABUAAAAAQAAABAAAAAAAAoAEAAMAAgABw' +
      'AKAAAAAAAAAggAAAAgAAAAFQAAAE5hbWVzIG9mIHRoZSBjbGFzc2VzLgAAAAoAAABsYWJlbHMudHh0AAAGAAAAc2NvcmVzAAAAAA4AEAAMAAAA' +
      'AAAIAAQADgAAAAwAAABgAAAAeAAAAAEAAAAMAAAACAAMAAcACAAIAAAAAAAAAQwAAAAIAAwACAAEAAgAAAAIAAAAFAAAAAMAAAB7lGlC4XpkQg' +
      'CAZUIDAAAAmln3QlyP6EJcD89CCAAOAAcACAAIAAAAAAAAAgwAAAAAAAYACAAHAAYAAAAAAAABBwAAAHBpY3R1cmUAAAAGAAgABAAGAAAABAAA' +
      'AAUAAABvdGhlcgAAAA==',
    'base64'
  )
)

describe('readStandardMetadata', () => {
  it('tells the tensors in the order of the graph, with what becomes of a pixel and which file has the labels', () => {
    const { name, description, inputs, outputs } = readStandardMetadata(entry)
    expect(name).toBe('model abababababab')
    expect(description).toBe('Converted by Skerry with the recipe full_int8-uint8.')
    expect(inputs.map((each) => each.name)).toEqual(['other', 'picture'])
    expect(inputs[0]).toEqual({ name: 'other', labelFiles: [] })
    const { mean, std } = inputs[1]?.normalization ?? { mean: [], std: [] }
    for (const [at, expected] of [123.675, 116.28, 103.53].entries()) expect(mean[at]).toBeCloseTo(expected, 3)
    for (const [at, expected] of [58.395, 57.12, 57.375].entries()) expect(std[at]).toBeCloseTo(expected, 3)
    expect(outputs).toEqual([{ name: 'scores', labelFiles: ['labels.txt'] }])
  })

  it('refuses what is no such entry', () => {
    expect(() => readStandardMetadata(new TextEncoder().encode('1.14.0'))).toThrow(TfliteFormatError)
    expect(() => readStandardMetadata(new Uint8Array())).toThrow(TfliteFormatError)
  })

  it('reads a damaged entry, or refuses it, and does nothing else', () => {
    const random = seededRandom(7)
    let refused = 0
    for (let round = 0; round < 4000; round++) {
      const damaged = entry.slice(0, round % 4 === 0 ? Math.floor(random() * entry.length) : entry.length)
      for (let change = 0; change < 1 + (round % 3); change++) {
        damaged[Math.floor(random() * damaged.length)] = Math.floor(random() * 256)
      }
      try {
        readStandardMetadata(damaged)
      } catch (error) {
        expect(error).toBeInstanceOf(TfliteFormatError)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(500)
  })
})

describe('readTfliteMetadata', () => {
  const real = realModels().get('face_detection_full_range_sparse.tflite') ?? new Uint8Array()

  it('gives the entries of a model that shipped', () => {
    const entries = readTfliteMetadata(real)
    expect([...entries.keys()]).toEqual(['min_runtime_version'])
    expect(new TextDecoder().decode(entries.get('min_runtime_version'))).toMatch(/^\d+\.\d+\.\d+\0*$/)
  })

  it('reads a damaged model, or refuses it, and does nothing else', () => {
    const random = seededRandom(11)
    for (let round = 0; round < 300; round++) {
      const damaged = real.slice(0, round % 3 === 0 ? Math.floor(random() * real.length) : 60_000)
      for (let change = 0; change < 8; change++) damaged[Math.floor(random() * 400)] = Math.floor(random() * 256)
      try {
        readTfliteMetadata(damaged)
      } catch (error) {
        expect(error).toBeInstanceOf(TfliteFormatError)
      }
    }
  })
})
