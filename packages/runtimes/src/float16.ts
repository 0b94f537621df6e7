/* float16 (IEEE 754 binary16) as 16-bit patterns; Node 20 has no array of that type. */

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** Rounds half to even; beyond 65504 it gives infinity, as IEEE 754 says. */
export function toFloat16(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, patternOf)
}

/** Exact. */
export function fromFloat16(patterns: Uint16Array): Float32Array {
  return Float32Array.from(patterns, realOf)
}

function patternOf(value: number): number {
  float[0] = value
  const pattern = bits[0] ?? 0
  const sign = (pattern >>> 16) & 0x8000
  const magnitude = pattern & 0x7fff_ffff
  if (magnitude > 0x7f80_0000) return sign | 0x7e00
  // 65520 and more round to infinity.
  if (magnitude >= 0x477f_f000) return sign | 0x7c00
  // Below the least normal number, 2^-14, units are 2^-24; dividing by them rounds nothing.
  if (magnitude < 0x3880_0000) return sign | roundHalfEven(Math.abs(value) * 2 ** 24)
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1)
  return sign | ((rounded - 0x3800_0000) >>> 13)
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value)
  const rest = value - floor
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor
}

function realOf(pattern: number): number {
  const sign = pattern & 0x8000 ? -1 : 1
  const [exponent, fraction] = [(pattern >>> 10) & 0x1f, pattern & 0x3ff]
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}
