/*
 * A tiny model per element type, with the answer that every correct kernel gives to the bit: scales are powers of two
 * and every sum is a multiple of what it is divided by, so that no rounding mode matters. Real kernels are in them, not
 * stand-ins: wrong CPU features once made an int8 convolution answer the same number to everything.
 */
import type { TfliteDtype } from '@skerry/tflite'
import { data, encodeModel, type Field, ints, list, type NodeData, text } from './model-encoder.ts'

export type SelfTestModel = { dtype: TfliteDtype; file: Uint8Array; input: Uint8Array; expected: Uint8Array }

// Numbers of the TFLite schema: enum TensorType, enum BuiltinOperator, union BuiltinOptions.
const typeCodes = { float32: 0, int32: 2, uint8: 3, int64: 4, bool: 6, int16: 7, int8: 9 } as const
const add = { code: 0, options: 11, fields: [] as Field[] }
const convolution = { code: 3, options: 1, fields: [{ int8: 1 }, { int32: 1 }, { int32: 1 }] as Field[] }
const depthwiseConvolution = { code: 4, options: 2, fields: [...convolution.fields, { int32: 1 }] as Field[] }
const fullyConnected = { code: 9, options: 8, fields: [] as Field[] }
const logicalNot = { code: 87, options: 0, fields: [] as Field[] }

type TestedDtype = keyof typeof typeCodes

type Border = { dtype: TestedDtype; shape: number[]; scales?: number[]; zeroPoint?: number; axis?: number }

const channels = 8
const width = 32

export function selfTestModels(): SelfTestModel[] {
  return [
    dense('float32', Float32Array, { zeroPoint: 0, divisor: 1, limits: [-1e9, 1e9] }),
    convolved(),
    dense('uint8', Uint8Array, { zeroPoint: 128, divisor: 8, limits: [0, 255] }),
    dense('int16', Int16Array, { zeroPoint: 0, divisor: 8, limits: [-32768, 32767] }),
    doubled('int32', Int32Array.of(1, -2, 2 ** 30 - 1, -(2 ** 30))),
    doubled('int64', BigInt64Array.of(1n, -2n, 2n ** 53n + 1n, -(2n ** 61n))),
    negated()
  ]
}

/** Values that are neither all alike nor symmetric. */
function pattern(length: number, step: number, range: number): number[] {
  return Array.from({ length }, (_, index) => ((index * step) % range) - (range >> 1))
}

function dense(
  dtype: 'float32' | 'uint8' | 'int16',
  array: Float32ArrayConstructor | Uint8ArrayConstructor | Int16ArrayConstructor,
  { zeroPoint, divisor, limits }: { zeroPoint: number; divisor: number; limits: [number, number] }
): SelfTestModel {
  const [inputs, weights] = [pattern(width, 7, 23), pattern(width * channels, 5, 3).map((each) => 16 * each)]
  const expected = Array.from({ length: channels }, (_, channel) => {
    const sum = inputs.reduce((total, input, at) => total + input * (weights[channel * width + at] ?? 0), 0)
    return Math.min(Math.max(sum / divisor + zeroPoint, limits[0]), limits[1])
  })
  const weightDtype = dtype === 'int16' ? 'int8' : dtype
  const stored = weights.map((weight) => weight + zeroPoint)
  const scaled = (scale: number) => (dtype === 'float32' ? {} : { scales: [scale], zeroPoint })
  const file = modelOf(
    fullyConnected,
    [
      { dtype, shape: [1, width], ...scaled(0.5) },
      { dtype: weightDtype, shape: [channels, width], ...scaled(0.5) },
      { dtype, shape: [1, channels], ...scaled(2) }
    ],
    [{ float32: Float32Array, uint8: Uint8Array, int8: Int8Array }[weightDtype].from(stored)]
  )
  const input = array.from(inputs.map((each) => each + zeroPoint))
  return { dtype, file, input: bytesOf(input), expected: bytesOf(array.from(expected)) }
}

/** int8: a 3x3 convolution over 4x4x4 with a scale per channel and a bias, into 2x2x8. */
function convolved(): SelfTestModel {
  const [size, depth, kernel, zeroPoint, outputZeroPoint] = [4, 4, 3, 3, -5]
  const inputs = pattern(size * size * depth, 7, 13)
  const weights = pattern(channels * kernel * kernel * depth, 5, 3).map((each) => 16 * each)
  const bias = pattern(channels, 3, 8).map((each) => 64 * each)
  const scales = bias.map((_, channel) => 2 ** -(channel % 3))
  const expected: number[] = []
  for (let position = 0; position < 4 * channels; position++) {
    const [channel, column, row] = [position % channels, (position >> 3) & 1, position >> 4]
    let sum = bias[channel] ?? 0
    for (let at = 0; at < kernel * kernel * depth; at++) {
      const [z, x, y] = [at % depth, Math.floor(at / depth) % kernel, Math.floor(at / depth / kernel)]
      const input = inputs[((row + y) * size + column + x) * depth + z] ?? 0
      sum += (input - zeroPoint) * (weights[channel * kernel * kernel * depth + at] ?? 0)
    }
    const real = (sum * (scales[channel] ?? 0)) / 4 + outputZeroPoint
    expected.push(Math.min(Math.max(real, -128), 127))
  }
  const file = modelOf(
    convolution,
    [
      { dtype: 'int8', shape: [1, size, size, depth], scales: [0.5], zeroPoint },
      { dtype: 'int8', shape: [channels, kernel, kernel, depth], scales, axis: 0 },
      { dtype: 'int32', shape: [channels], scales: scales.map((scale) => scale / 2), axis: 0 },
      { dtype: 'int8', shape: [1, 2, 2, channels], scales: [2], zeroPoint: outputZeroPoint }
    ],
    [Int8Array.from(weights), Int32Array.from(bias)]
  )
  return { dtype: 'int8', file, input: bytesOf(Int8Array.from(inputs)), expected: bytesOf(Int8Array.from(expected)) }
}

/** A model of one depthwise convolution without padding, strides of one: input, weights, bias and output. */
export function depthwiseConvolutionOf(borders: Border[], constants: [weights: NodeData, bias: NodeData]): Uint8Array {
  return modelOf(depthwiseConvolution, borders, constants)
}

function doubled(dtype: 'int32' | 'int64', input: Int32Array | BigInt64Array): SelfTestModel {
  const border = { dtype, shape: [input.length] }
  const file = modelOf(add, [border, border], [], [0, 0])
  const expected = input instanceof Int32Array ? input.map((each) => 2 * each) : input.map((each) => 2n * each)
  return { dtype, file, input: bytesOf(input), expected: bytesOf(expected) }
}

function negated(): SelfTestModel {
  const border = { dtype: 'bool' as const, shape: [3] }
  const file = modelOf(logicalNot, [border, border], [])
  return { dtype: 'bool', file, input: Uint8Array.of(1, 0, 1), expected: Uint8Array.of(0, 1, 0) }
}

/** One operator over one input, then the constants, into one output; `reads` where it reads otherwise. */
function modelOf(
  operator: typeof add,
  borders: Border[],
  constants: NodeData[],
  reads: number[] = [0, ...constants.map((_, index) => index + 1)]
): Uint8Array {
  const last = borders.length - 1
  const tensors = borders.map(({ dtype, shape, scales, zeroPoint = 0, axis = 0 }, index) => {
    const constant = index > 0 && index <= constants.length
    const quantization = scales && {
      table: [
        undefined,
        undefined,
        data(Float32Array.from(scales)),
        data(BigInt64Array.from(scales, () => BigInt(zeroPoint))),
        undefined,
        undefined,
        { int32: axis }
      ]
    }
    return {
      table: [
        ints(shape),
        { int8: typeCodes[dtype] },
        { int32: constant ? index : 0 },
        text(index === 0 ? 'x' : index === last ? 'y' : `constant${index}`),
        quantization && { to: quantization }
      ]
    }
  })
  const node = {
    table: [
      { int32: 0 },
      ints(reads),
      ints([last]),
      operator.options === 0 ? undefined : { int8: operator.options },
      operator.options === 0 ? undefined : { to: { table: operator.fields } }
    ]
  }
  const subgraph = { table: [list(tensors), ints([0]), ints([last]), list([node])] }
  const code = { table: [{ int8: operator.code }, undefined, { int32: 1 }, { int32: operator.code }] }
  const buffers = constants.map((values) => ({ table: [data(bytesOf(values))] }))
  return encodeModel({
    table: [{ int32: 3 }, list([code]), list([subgraph]), text('self-test'), list([{ table: [] }, ...buffers])]
  })
}

function bytesOf(values: NodeData | Int16Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}
