import { depthwiseConvolutionOf } from './self-test-models.ts'

const [size, channels, kernel] = [64, 64, 3]

export type RankingDtype = 'float32' | 'int8'

/**
 * A depthwise convolution that every runtime knows, 3x3 over 64x64x64: 2.2 million multiplications, a few
 * milliseconds on the slowest runtime. Models for small devices consist of these and of 1x1 convolutions.
 */
export function rankingModel(dtype: RankingDtype = 'float32'): Uint8Array {
  const isInt8 = dtype === 'int8'
  // Neither zeros nor equal, of which kernels may make use.
  const pattern = Array.from({ length: kernel * kernel * channels }, (_, at) => (at * 7) % 23)
  const outputSize = size - kernel + 1
  const scaled = (scale: number) => (isInt8 ? { scales: [scale] } : {})
  return depthwiseConvolutionOf(
    [
      { dtype, shape: [1, size, size, channels], ...scaled(0.5) },
      { dtype, shape: [1, kernel, kernel, channels], ...scaled(0.125) },
      { dtype: isInt8 ? 'int32' : 'float32', shape: [channels], ...scaled(0.0625) },
      { dtype, shape: [1, outputSize, outputSize, channels], ...scaled(2) }
    ],
    isInt8
      ? [Int8Array.from(pattern, (each) => each - 11), new Int32Array(channels)]
      : [Float32Array.from(pattern, (each) => each / 23 - 0.5), new Float32Array(channels)]
  )
}
