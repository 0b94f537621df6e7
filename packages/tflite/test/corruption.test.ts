import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readTflite, TfliteFormatError, tfliteFormatErrorCodes } from '../src/index.ts'
import { realModels, seededRandom } from './real-models.ts'

/** 'read' or the error's code; whatever else is thrown fails the test. */
function outcome(bytes: Uint8Array): string {
  try {
    readTflite(bytes)
    return 'read'
  } catch (error) {
    if (error instanceof TfliteFormatError && error.code in tfliteFormatErrorCodes) return error.code
    throw error
  }
}

describe('readTflite on files that are broken', () => {
  it('throws its own error for anything that is not TFLite', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
        expect(outcome(bytes)).not.toBe('read')
      })
    )
  })

  it('throws its own error or reads on, for random bytes behind a right identifier', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 512 }), fc.nat(511), (bytes, root) => {
        bytes.set([root % bytes.length, 0, 0, 0, 0x54, 0x46, 0x4c, 0x33])
        outcome(bytes)
      }),
      { numRuns: 3000 }
    )
  })

  it('survives every kind of cut', () => {
    const random = seededRandom(1)
    for (const [name, bytes] of realModels()) {
      expect(outcome(bytes.subarray(0, 0)), name).toBe('not-tflite')
      for (let i = 0; i < 300; i++) outcome(bytes.subarray(0, Math.floor(random() * bytes.length)))
      // The tail holds tables or weights that the reader follows: a file without it is not a whole one.
      expect(outcome(bytes.subarray(0, bytes.length >> 1)), name).not.toBe('read')
    }
  })

  it('survives flipped bytes, above all in the tables', () => {
    const random = seededRandom(2)
    const outcomes = new Map<string, number>()
    for (const bytes of realModels().values()) {
      const structure = structuralBytes(bytes)
      for (let i = 0; i < 1500; i++) {
        const broken = Uint8Array.from(bytes)
        for (let flips = 1 + Math.floor(random() * 8); flips > 0; flips--) {
          const at = structure[Math.floor(random() * structure.length)] ?? 0
          broken[at] = Math.floor(random() * 256)
        }
        const result = outcome(broken)
        outcomes.set(result, (outcomes.get(result) ?? 0) + 1)
      }
    }
    // The damage must have reached the reader in several ways, or this test tests nothing.
    expect(outcomes.size).toBeGreaterThan(3)
  }, 60_000)

  it('ends soon when a million references share one table', () => {
    expect(readTflite(sharedTables(3)).operators).toEqual([{ name: 'ADD', version: 1, custom: false, count: 9 }])
    expect(outcome(sharedTables(1_000_000))).toBe('too-complex')
  })
})

/** Positions before the weights and behind them: the parts of the file that are not long runs of weights. */
function structuralBytes(bytes: Uint8Array): number[] {
  const head = Math.min(bytes.length, 4096)
  const tail = Math.max(head, bytes.length - 60_000)
  return [...Array(head).keys(), ...Array.from({ length: bytes.length - tail }, (_, index) => tail + index)]
}

/** A list of subgraphs that are all one table, whose operators are all one table too: `count` squared visits. */
function sharedTables(count: number): Uint8Array {
  const list = 128
  const subgraph = list + 4 + 4 * count
  const operators = subgraph + 8
  const operator = operators + 4 + 4 * count
  const file = Buffer.alloc(operator + 4)
  const refer = (slot: number, target: number): void => {
    file.writeUInt32LE(target - slot, slot)
  }
  const table = (at: number, vtable: number, slots: number[]): void => {
    file.writeUInt16LE(4 + 2 * slots.length, vtable)
    file.writeUInt16LE(4 + 4 * slots.filter((slot) => slot > 0).length, vtable + 2)
    for (const [index, slot] of slots.entries()) file.writeUInt16LE(slot, vtable + 4 + 2 * index)
    file.writeInt32LE(at - vtable, at)
  }
  file.write('TFL3', 4)
  refer(0, 32)
  table(32, 8, [0, 4, 8])
  refer(36, 48)
  refer(40, list)
  file.writeUInt32LE(1, 48)
  refer(52, 64)
  table(64, 56, [])
  table(subgraph, 72, [0, 0, 0, 4])
  refer(subgraph + 4, operators)
  table(operator, 96, [])
  for (const [vector, target] of [
    [list, subgraph],
    [operators, operator]
  ] as const) {
    file.writeUInt32LE(count, vector)
    for (let i = 0; i < count; i++) refer(vector + 4 + 4 * i, target)
  }
  return file
}
