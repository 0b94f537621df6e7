import { grown } from './grow.ts'

/** Lowest index set in both, at or after `from`; -1 when there is none. The shorter one ends in zeros. */
export function firstCommon(a: Uint32Array, b: Uint32Array, from = 0): number {
  const words = Math.min(a.length, b.length)
  let word = from >> 5
  if (word >= words) return -1
  let bits = ((a[word] as number) & (b[word] as number) & (-1 << (from & 31))) >>> 0
  while (bits === 0) {
    word += 1
    if (word >= words) return -1
    bits = ((a[word] as number) & (b[word] as number)) >>> 0
  }
  return (word << 5) + 31 - Math.clz32(bits & -bits)
}

/**
 * As `firstCommon`, in the circle that begins at `start`: what is below it comes after the end. `from` is `start`, or one
 * past what was answered last.
 */
export function firstInTurn(a: Uint32Array, b: Uint32Array, start: number, from: number): number {
  if (from >= start) {
    const index = firstCommon(a, b, from)
    if (index >= 0 || start === 0) return index
    from = 0
  }
  const index = firstCommon(a, b, from)
  return index < start ? index : -1
}

/** The same bitmap, or a longer copy when `index` is past its end. */
export const withRoomFor = (bitmap: Uint32Array, index: number): Uint32Array => grown(bitmap, (index >> 5) + 1)
export const setBit = (bitmap: Uint32Array, index: number): void => {
  bitmap[index >> 5] = (bitmap[index >> 5] as number) | (1 << (index & 31))
}
export const clearBit = (bitmap: Uint32Array, index: number): void => {
  if (index >> 5 < bitmap.length) bitmap[index >> 5] = (bitmap[index >> 5] as number) & ~(1 << (index & 31))
}
export const hasBit = (bitmap: Uint32Array, index: number): boolean =>
  index >> 5 < bitmap.length && ((bitmap[index >> 5] as number) & (1 << (index & 31))) !== 0
