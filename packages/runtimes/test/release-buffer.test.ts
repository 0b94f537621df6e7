import { describe, expect, it } from 'vitest'
import { releaseBuffer } from '../src/release-buffer.ts'

const MEBIBYTE = 1 << 20

describe('a buffer that is released', () => {
  it('gives its memory back without a garbage collection', async () => {
    const before = process.memoryUsage.rss()
    const bytes = Buffer.allocUnsafeSlow(200 * MEBIBYTE).fill(1)
    expect(process.memoryUsage.rss() - before).toBeGreaterThan(150 * MEBIBYTE)
    releaseBuffer(bytes)
    expect(bytes).toHaveLength(0)
    await expect.poll(() => process.memoryUsage.rss() - before).toBeLessThan(100 * MEBIBYTE)
  })

  it('stays as it is where others may use the same memory', () => {
    const shared = new Uint8Array(4 * MEBIBYTE)
    const part = shared.subarray(0, 2 * MEBIBYTE)
    releaseBuffer(part)
    const small = Buffer.from('in the pool')
    releaseBuffer(small)
    expect([part.length, small.toString()]).toEqual([2 * MEBIBYTE, 'in the pool'])
  })
})
