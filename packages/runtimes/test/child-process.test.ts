import { describe, expect, it } from 'vitest'
import { encodeHeader, FrameReader, Head, type Reply } from '../src/frame.ts'
import { StderrLines } from '../src/stderr-lines.ts'

describe('FrameReader', () => {
  const frames: [Reply, Uint8Array[]][] = [
    [{ id: 1, parts: [3, 0, 5], ok: true }, [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(4, 5, 6, 7, 8)]],
    [{ id: 2, parts: [], ok: false, code: 'model-refused', message: 'no' }, []],
    [{ id: 3, parts: [1], ok: true, loadMs: 2.5 }, [Uint8Array.of(9)]]
  ]
  const inference: [Reply, Uint8Array[]] = [
    { id: 4, parts: [], ok: true, inferenceMs: 0.125 },
    [Uint8Array.of(10, 11), new Uint8Array(0)]
  ]
  const head = new Head()
  head.setAnswer(4, 0.125)
  const stream = Buffer.concat([
    ...frames.flatMap(([header, parts]) => [encodeHeader(header), ...parts]),
    head.bytes,
    ...inference[1]
  ])
  const lengthsOf = (id: number): number[] => {
    if (id !== 4) throw new Error(`call ${id} was no inference`)
    return [2, 0]
  }

  it.each([1, 2, 7, 64, 4096])('gives the same frames from chunks of %i bytes', (size) => {
    const received: [Reply, number[][]][] = []
    const reader = new FrameReader(
      (header, parts) => received.push([header, parts.map((part) => [...part])]),
      lengthsOf
    )
    for (let at = 0; at < stream.length; at += size) reader.push(stream.subarray(at, at + size))
    expect(received).toEqual([...frames, inference].map(([header, parts]) => [header, parts.map((part) => [...part])]))
  })

  it('gives each part memory of its own, so that typed arrays can stand on it', () => {
    const reader = new FrameReader((_, parts) => {
      for (const part of parts) expect([part.byteOffset, part.buffer.byteLength]).toEqual([0, part.length])
    }, lengthsOf)
    reader.push(stream)
    expect.assertions(6)
  })

  it('refuses a stream that is not one of frames', () => {
    const read = (bytes: Buffer) => new FrameReader(() => undefined, lengthsOf).push(bytes)
    expect(() => read(Buffer.from('INFO: something else'))).toThrow(/header of/)
    const other = new Head()
    other.setAnswer(5, 1)
    expect(() => read(other.bytes)).toThrow(/no inference/)
  })
})

describe('StderrLines', () => {
  it('joins chunks to lines, drops what nobody asked for, and keeps the last ones', () => {
    const seen: string[] = []
    const lines = new StderrLines((line) => seen.push(line) > 0)
    lines.push('INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\nERROR: fir')
    lines.push('st\n\n')
    for (let i = 0; i < 30; i++) lines.push(`line ${i}\n`)
    lines.push('no line break')
    lines.end()
    expect(seen.slice(0, 2)).toEqual(['ERROR: first', 'line 0'])
    expect(lines.last).toHaveLength(20)
    expect(lines.last.at(-1)).toBe('no line break')
  })
})
