import { builtinOperators } from './builtin-operators.ts'
import { dtypesByCode } from './dtype.ts'
import { FlatBuffer, type Table } from './flatbuffer.ts'
import { TfliteFormatError } from './format-error.ts'
import type {
  GraphSpec,
  OperatorUse,
  Quantization,
  SignatureSpec,
  SubgraphSpec,
  TensorSpec,
  TfliteModel
} from './model.ts'
import { readGraph } from './read-graph.ts'

// Field numbers of the TFLite schema (version 3), per table.
const model = { version: 0, operatorCodes: 1, subgraphs: 2, description: 3, buffers: 4, signatures: 7 } as const
const operatorCode = { deprecatedBuiltin: 0, custom: 1, version: 2, builtin: 3 } as const
const subgraph = { tensors: 0, inputs: 1, outputs: 2, operators: 3, name: 4 } as const
const operator = { opcodeIndex: 0 } as const
const tensor = { shape: 0, type: 1, name: 3, quantization: 4, shapeSignature: 7 } as const
const quantization = { scale: 2, zeroPoint: 3, axis: 6 } as const
const buffer = { data: 0, offset: 1, size: 2 } as const
const signature = { inputs: 0, outputs: 1, key: 2, subgraph: 4 } as const
const tensorMap = { name: 0, index: 1 } as const

const customCode = 32
const maxRank = 32

type Subgraph = { spec: SubgraphSpec; inputs: number[]; outputs: number[] }

/**
 * Reads what a scheduler and a runtime must know of a .tflite file: tensors at its borders, signatures, operators with
 * their versions, quantization. Weights are measured, not read.
 *
 * @throws TfliteFormatError for any file that is not a readable model.
 */
export function readTflite(bytes: Uint8Array): TfliteModel {
  const file = new FlatBuffer(bytes)
  const root = file.root('TFL3')
  const operators = [...root.tables(model.operatorCodes)].map(readOperatorCode)
  const bufferSizes = readBufferSizes(root, bytes.byteLength)
  const tables = [...root.tables(model.subgraphs)]
  const subgraphs = tables.map((table) => {
    return readSubgraph(table, operators, readGraph(table, operators, bufferSizes, tables.length))
  })
  const main = subgraphs[0]
  if (main === undefined) throw new TfliteFormatError('bad-value', 'no subgraph')
  return {
    schemaVersion: root.uint32(model.version, 0),
    description: root.string(model.description) ?? '',
    inputs: main.spec.inputs,
    outputs: main.spec.outputs,
    subgraphs: subgraphs.map((each) => each.spec),
    signatures: [...root.tables(model.signatures)].map((table) => readSignature(table, subgraphs)),
    operators: mergeOperators(operators),
    bufferBytes: bufferSizes.reduce((sum, size) => sum + size, 0)
  }
}

function readOperatorCode(table: Table): OperatorUse {
  // Codes up to 127 stand in the old field, which newer writers still fill (with 127 for larger ones).
  const code = Math.max(table.int8(operatorCode.deprecatedBuiltin, 0), table.int32(operatorCode.builtin, 0))
  const version = table.int32(operatorCode.version, 1)
  if (code < 0 || version < 0) throw new TfliteFormatError('bad-value', `operator ${code} version ${version}`)
  if (code !== customCode)
    return { name: builtinOperators[code] ?? `BUILTIN_${code}`, version, custom: false, count: 0 }
  return { name: table.string(operatorCode.custom) ?? '', version, custom: true, count: 0 }
}

function readSubgraph(table: Table, operators: OperatorUse[], graph: GraphSpec): Subgraph {
  for (const each of table.tables(subgraph.operators)) {
    const index = each.uint32(operator.opcodeIndex, 0)
    const use = operators[index]
    if (use === undefined) throw new TfliteFormatError('bad-value', `operator code ${index}`)
    use.count += 1
  }
  const inputs = table.int32s(subgraph.inputs)
  const outputs = table.int32s(subgraph.outputs)
  const specs = new Map<number, TensorSpec>()
  const specOf = (index: number): TensorSpec => {
    const known = specs.get(index)
    if (known !== undefined) return known
    const found = table.tableAt(subgraph.tensors, index)
    if (found === undefined) throw new TfliteFormatError('bad-value', `tensor ${index}`)
    const spec = readTensor(found)
    specs.set(index, spec)
    return spec
  }
  const spec = {
    name: table.string(subgraph.name) ?? '',
    inputs: inputs.map(specOf),
    outputs: outputs.map(specOf),
    graph
  }
  return { spec, inputs, outputs }
}

function readTensor(table: Table): TensorSpec {
  const code = table.int8(tensor.type, 0)
  const dtype = dtypesByCode[code]
  if (dtype === undefined) throw new TfliteFormatError('bad-value', `tensor type ${code}`)
  const shape = table.int32s(tensor.shape)
  const declared = table.int32s(tensor.shapeSignature)
  if (shape.length > maxRank || shape.some((dimension) => dimension < 0)) {
    throw new TfliteFormatError('bad-value', 'tensor shape')
  }
  if (declared.length > 0 && (declared.length !== shape.length || declared.some((dimension) => dimension < -1))) {
    throw new TfliteFormatError('bad-value', 'shape signature')
  }
  const parameters = table.table(tensor.quantization)
  const quantized = parameters === undefined ? undefined : readQuantization(parameters)
  return {
    name: table.string(tensor.name) ?? '',
    dtype,
    shape,
    shapeSignature: declared.length === 0 ? [...shape] : declared,
    ...(quantized === undefined ? {} : { quantization: quantized })
  }
}

function readQuantization(table: Table): Quantization | undefined {
  const scales = table.float32s(quantization.scale)
  if (scales.length === 0) return undefined
  const zeroPoints = table.int64s(quantization.zeroPoint)
  if (zeroPoints.length > 0 && zeroPoints.length !== scales.length) {
    throw new TfliteFormatError('bad-value', `${scales.length} scales, ${zeroPoints.length} zero points`)
  }
  return {
    scales,
    zeroPoints: zeroPoints.length > 0 ? zeroPoints : scales.map(() => 0),
    axis: table.int32(quantization.axis, 0)
  }
}

function readSignature(table: Table, subgraphs: Subgraph[]): SignatureSpec {
  const index = table.uint32(signature.subgraph, 0)
  const target = subgraphs[index]
  if (target === undefined) throw new TfliteFormatError('bad-signature', `subgraph ${index}`)
  return {
    key: table.string(signature.key) ?? '',
    subgraph: index,
    inputs: readTensorMap(table, signature.inputs, target.inputs),
    outputs: readTensorMap(table, signature.outputs, target.outputs)
  }
}

function readTensorMap(table: Table, slot: number, tensors: number[]): Record<string, number> {
  // The file says the tensor's index; runtimes count positions among the subgraph's inputs or outputs.
  const positions = new Map(tensors.map((index, position) => [index, position] as const).reverse())
  const entries: [string, number][] = []
  for (const each of table.tables(slot)) {
    const name = each.string(tensorMap.name) ?? ''
    const position = positions.get(each.uint32(tensorMap.index, 0))
    if (position === undefined) throw new TfliteFormatError('bad-signature', name)
    entries.push([name, position])
  }
  return Object.fromEntries(entries)
}

function mergeOperators(operators: OperatorUse[]): OperatorUse[] {
  const merged = new Map<string, OperatorUse>()
  for (const each of operators) {
    const key = `${each.custom}/${each.version}/${each.name}`
    const known = merged.get(key)
    if (known === undefined) merged.set(key, { ...each })
    else known.count += each.count
  }
  return [...merged.values()]
}

function readBufferSizes(root: Table, fileBytes: number): number[] {
  return [...root.tables(model.buffers)].map((each) => {
    const size = each.uint64(buffer.size, 0)
    const offset = each.uint64(buffer.offset, 0)
    // Files past 2 GiB keep their weights behind the FlatBuffer; offsets 0 and 1 mean that this buffer does not.
    if (offset <= 1) return each.vectorLength(buffer.data, 1)
    if (offset + size > fileBytes) throw new TfliteFormatError('truncated', `buffer of ${size} bytes at ${offset}`)
    return size
  })
}
