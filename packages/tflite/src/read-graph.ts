import { dtypesByCode } from './dtype.ts'
import type { Table } from './flatbuffer.ts'
import { TfliteFormatError } from './format-error.ts'
import type { GraphNode, GraphSpec, GraphTensor, OperatorUse } from './model.ts'

// Field numbers of the TFLite schema (version 3), per table.
const subgraph = { tensors: 0, inputs: 1, outputs: 2, operators: 3 } as const
const operator = { opcodeIndex: 0, inputs: 1, outputs: 2, options: 4, options2: 12 } as const
const tensor = { shape: 0, type: 1, buffer: 2, quantization: 4, isVariable: 5, shapeSignature: 7 } as const
const quantizationScale = 2

/** Where the options of an operator keep the numbers of the subgraphs that it runs. */
const calledSubgraphs: Readonly<Record<string, { options: number; slots: readonly number[] }>> = {
  CALL: { options: operator.options, slots: [0] },
  CALL_ONCE: { options: operator.options, slots: [0] },
  IF: { options: operator.options, slots: [0, 1] },
  WHILE: { options: operator.options, slots: [0, 1] },
  STABLEHLO_COMPOSITE: { options: operator.options2, slots: [1] },
  STABLEHLO_WHILE: { options: operator.options2, slots: [0, 1] }
}

/**
 * The operators of one subgraph in the order in which they run, and what they read and write. Names and quantization of
 * inner tensors are left out: models with a scale per channel would have millions of them.
 */
export function readGraph(
  table: Table,
  operators: readonly OperatorUse[],
  bufferSizes: readonly number[],
  subgraphCount: number
): GraphSpec {
  const tensors = [...table.tables(subgraph.tensors)].map((each) => readTensor(each, bufferSizes))
  const known = (index: number): number => {
    if (index < 0 || index >= tensors.length) throw new TfliteFormatError('bad-value', `tensor ${index}`)
    return index
  }
  return {
    tensors,
    inputs: table.int32s(subgraph.inputs).map(known),
    outputs: table.int32s(subgraph.outputs).map(known),
    nodes: [...table.tables(subgraph.operators)].map((each) => readNode(each, operators, known, subgraphCount))
  }
}

function readTensor(table: Table, bufferSizes: readonly number[]): GraphTensor {
  const code = table.int8(tensor.type, 0)
  const dtype = dtypesByCode[code]
  if (dtype === undefined) throw new TfliteFormatError('bad-value', `tensor type ${code}`)
  const shape = table.int32s(tensor.shape)
  const declared = table.int32s(tensor.shapeSignature)
  const scales = table.table(tensor.quantization)?.vectorLength(quantizationScale, 4) ?? 0
  return {
    dtype,
    shape: shape.map((dimension, axis) => (declared[axis] === -1 ? 1 : Math.max(dimension, 0))),
    constant: (bufferSizes[table.uint32(tensor.buffer, 0)] ?? 0) > 0,
    variable: table.uint8(tensor.isVariable, 0) !== 0,
    ...(scales > 1 ? { perChannel: true as const } : {})
  }
}

function readNode(
  table: Table,
  operators: readonly OperatorUse[],
  known: (index: number) => number,
  subgraphCount: number
): GraphNode {
  const index = table.uint32(operator.opcodeIndex, 0)
  const use = operators[index]
  if (use === undefined) throw new TfliteFormatError('bad-value', `operator code ${index}`)
  return {
    operator: use.name,
    custom: use.custom,
    // -1 stands for an input that is left out.
    inputs: table.int32s(operator.inputs).map((each) => (each === -1 ? -1 : known(each))),
    outputs: table.int32s(operator.outputs).map(known),
    calls: use.custom ? [] : readCalls(table, use.name, subgraphCount)
  }
}

function readCalls(table: Table, name: string, subgraphCount: number): number[] {
  const where = calledSubgraphs[name]
  const options = where === undefined ? undefined : table.table(where.options)
  if (where === undefined || options === undefined) return []
  return where.slots.map((slot) => {
    const called = options.int32(slot, 0)
    if (called < 0 || called >= subgraphCount) throw new TfliteFormatError('bad-value', `subgraph ${called}`)
    return called
  })
}
