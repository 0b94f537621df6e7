/** Lowest index set in both, at or after `from`; -1 when there is none. */
export function firstCommon(a: Uint32Array, b: Uint32Array, from = 0): number {
  let word = from >> 5
  if (word >= a.length) return -1
  let bits = ((a[word] as number) & (b[word] as number) & (-1 << (from & 31))) >>> 0
  while (bits === 0) {
    word += 1
    if (word >= a.length) return -1
    bits = ((a[word] as number) & (b[word] as number)) >>> 0
  }
  return (word << 5) + 31 - Math.clz32(bits & -bits)
}

export const bitmapFor = (size: number): Uint32Array => new Uint32Array((size + 31) >> 5)
export const setBit = (bitmap: Uint32Array, index: number): void => {
  bitmap[index >> 5] = (bitmap[index >> 5] as number) | (1 << (index & 31))
}
export const clearBit = (bitmap: Uint32Array, index: number): void => {
  bitmap[index >> 5] = (bitmap[index >> 5] as number) & ~(1 << (index & 31))
}
export const hasBit = (bitmap: Uint32Array, index: number): boolean =>
  ((bitmap[index >> 5] as number) & (1 << (index & 31))) !== 0
