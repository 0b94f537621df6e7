import { elementCount } from './dtype.ts'
import type { GraphNode, GraphTensor } from './model.ts'

/** The shapes that a formula works on; an operand that the file leaves out has none. */
type Operands = {
  input: (position: number) => number[] | undefined
  output: number[]
  /** Elements of all constant matrices among the inputs. */
  matrixElements: number
}

type Formula = (operands: Operands) => number

/*
 * O: elements of the output, I: of the input, W: of the weights. Weights stand as [out, height, width, in] for CONV_2D
 * and TRANSPOSE_CONV, [1, height, width, out] for DEPTHWISE_CONV_2D, [depth, height, width, in, out] for CONV_3D,
 * [out, in] for FULLY_CONNECTED.
 */
const convolution: Formula = ({ input, output }) => elementCount(output) * perIndex(input(1), 0)
const depthwise: Formula = ({ input, output }) => elementCount(output) * perIndex(input(1), 3)
const convolution3d: Formula = ({ input, output }) => elementCount(output) * perIndex(input(1), 4)
const fullyConnected: Formula = ({ input, output }) => elementCount(output) * (input(1)?.at(-1) ?? 0)

/** Each element of the input is multiplied with each weight of its channel. */
const transposed =
  (data: number): Formula =>
  ({ input }) =>
    elementCount(input(data) ?? [0]) * perIndex(input(1), 3)

const batchMatmul: Formula = ({ input, output }) =>
  elementCount(output) * (sharedDimension(input(0) ?? [], output) ?? 0)

/** Every time step of every sequence is multiplied with each input, recurrent and projection matrix. */
const recurrent: Formula = ({ input, matrixElements }) => {
  const shape = input(0) ?? [0]
  return elementCount(shape.slice(0, -1)) * matrixElements
}

const formulas: Readonly<Record<string, Formula>> = {
  CONV_2D: convolution,
  DEPTHWISE_CONV_2D: depthwise,
  CONV_3D: convolution3d,
  FULLY_CONNECTED: fullyConnected,
  TRANSPOSE_CONV: transposed(2),
  BATCH_MATMUL: batchMatmul,
  LSTM: recurrent,
  RNN: recurrent,
  SVDF: recurrent,
  UNIDIRECTIONAL_SEQUENCE_LSTM: recurrent,
  UNIDIRECTIONAL_SEQUENCE_RNN: recurrent,
  BIDIRECTIONAL_SEQUENCE_LSTM: recurrent,
  BIDIRECTIONAL_SEQUENCE_RNN: recurrent
}

/** MediaPipe's custom operator, in the models that its packages ship. */
const customFormulas: Readonly<Record<string, Formula>> = { Convolution2DTransposeBias: transposed(0) }

/**
 * Multiply-accumulate operations of one operator: of convolutions, matrix products and recurrent layers. Everything else
 * (element by element, pooling, resizing, custom operators that are not known) counts as 0.
 */
export function multiplyAccumulates(node: GraphNode, tensors: readonly GraphTensor[]): number {
  const table = node.custom ? customFormulas : formulas
  const formula = Object.hasOwn(table, node.operator) ? table[node.operator] : undefined
  if (formula === undefined) return 0
  const operands = node.inputs.map((index) => tensors[index])
  return formula({
    input: (position) => operands[position]?.shape,
    output: tensors[node.outputs[0] ?? -1]?.shape ?? [0],
    matrixElements: operands.reduce(
      (sum, each) => sum + (each?.constant && each.shape.length === 2 ? elementCount(each.shape) : 0),
      0
    )
  })
}

/** Elements for each index of one axis. */
function perIndex(shape: readonly number[] | undefined, axis: number): number {
  const size = shape?.[axis] ?? 0
  return shape === undefined || size === 0 ? 0 : elementCount(shape) / size
}

/** The dimension that [..., m, k] x [..., k, n] sums over; the left side may stand transposed. */
function sharedDimension(left: readonly number[], output: readonly number[]): number | undefined {
  const m = output.at(-2)
  return left.at(-2) === m ? left.at(-1) : left.at(-2)
}
