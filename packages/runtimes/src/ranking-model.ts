import { depthwiseConvolutionOf } from './self-test-models.ts'

const [size, channels, kernel] = [64, 64, 3]

/**
 * A float32 depthwise convolution that every runtime knows, 3x3 over 64x64x64: 2.2 million multiplications, a few
 * milliseconds on the slowest runtime. Models for small devices consist of these and of 1x1 convolutions.
 */
export function rankingModel(): Uint8Array {
  // Neither zeros nor equal, of which kernels may make use.
  const weights = Float32Array.from({ length: kernel * kernel * channels }, (_, at) => ((at * 7) % 23) / 23 - 0.5)
  const outputSize = size - kernel + 1
  return depthwiseConvolutionOf(
    [
      { dtype: 'float32', shape: [1, size, size, channels] },
      { dtype: 'float32', shape: [1, kernel, kernel, channels] },
      { dtype: 'float32', shape: [channels] },
      { dtype: 'float32', shape: [1, outputSize, outputSize, channels] }
    ],
    [weights, new Float32Array(channels)]
  )
}
