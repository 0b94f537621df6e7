import type { Quantization } from './model.ts'

export type QuantizedDtype = 'int8' | 'uint8' | 'int16'
export type QuantizedArray = Int8Array | Uint8Array | Int16Array

export type QuantizationErrorCode = 'not-a-number' | 'per-channel' | 'bad-scale'

export class QuantizationError extends Error {
  override readonly name = 'QuantizationError'
  readonly code: QuantizationErrorCode

  constructor(code: QuantizationErrorCode, message: string) {
    super(message)
    this.code = code
  }
}

/** Whether values of this dtype with a scale stand for real numbers that `quantize` and `dequantize` translate. */
export function isQuantizedDtype(dtype: string): dtype is QuantizedDtype {
  return dtype === 'int8' || dtype === 'uint8' || dtype === 'int16'
}

/**
 * stored = clip(roundHalfToEven(real / scale) + zeroPoint), computed in float64: TFLite's affine scheme with the
 * rounding of XNNPACK's kernels. Infinities clip; NaN has no place in the range and is an error.
 *
 * @throws QuantizationError for NaN, and for per-channel parameters (inputs and outputs never have them).
 */
export function quantize(values: Float32Array, q: Quantization, dtype: 'int8'): Int8Array
export function quantize(values: Float32Array, q: Quantization, dtype: 'uint8'): Uint8Array
export function quantize(values: Float32Array, q: Quantization, dtype: 'int16'): Int16Array
export function quantize(values: Float32Array, q: Quantization, dtype: QuantizedDtype): QuantizedArray
export function quantize(values: Float32Array, q: Quantization, dtype: QuantizedDtype): QuantizedArray {
  const { scale, zeroPoint } = perTensor(q)
  switch (dtype) {
    case 'int8':
      return fill(new Int8Array(values.length), values, scale, zeroPoint, -128, 127)
    case 'uint8':
      return fill(new Uint8Array(values.length), values, scale, zeroPoint, 0, 255)
    case 'int16':
      return fill(new Int16Array(values.length), values, scale, zeroPoint, -32768, 32767)
  }
}

/** real = scale * (stored - zeroPoint), rounded once to float32. */
export function dequantize(values: QuantizedArray, q: Quantization): Float32Array {
  const { scale, zeroPoint } = perTensor(q)
  const reals = new Float32Array(values.length)
  for (let i = 0; i < values.length; i++) reals[i] = scale * ((values[i] as number) - zeroPoint)
  return reals
}

function fill<T extends QuantizedArray>(
  stored: T,
  values: Float32Array,
  scale: number,
  zeroPoint: number,
  low: number,
  high: number
): T {
  for (let i = 0; i < values.length; i++) {
    const real = values[i] as number
    const value = roundHalfToEven(real / scale) + zeroPoint
    if (Number.isNaN(value)) throw new QuantizationError('not-a-number', `Element ${i} is not a number.`)
    stored[i] = Math.min(Math.max(value, low), high)
  }
  return stored
}

// Adding and taking away 1.5 * 2^52 leaves no bits for a fraction, so the sum is rounded by IEEE 754's own rule, half
// to even. Larger magnitudes are clipped afterwards, whatever they are rounded to.
const roundingConstant = 6755399441055744

function roundHalfToEven(value: number): number {
  return value + roundingConstant - roundingConstant
}

function perTensor(q: Quantization): { scale: number; zeroPoint: number } {
  const [scale, ...more] = q.scales
  if (more.length > 0) throw new QuantizationError('per-channel', 'Quantization has a scale per channel.')
  if (scale === undefined || !(scale > 0) || !Number.isFinite(scale)) {
    throw new QuantizationError('bad-scale', `Quantization scale ${scale} is not positive.`)
  }
  return { scale, zeroPoint: q.zeroPoints[0] ?? 0 }
}
