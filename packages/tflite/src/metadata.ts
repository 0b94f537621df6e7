import { FlatBuffer, type Table } from './flatbuffer.ts'
import { TfliteFormatError } from './format-error.ts'

// Field numbers of the TFLite schema (version 3).
const model = { buffers: 4, metadata: 6 } as const
const metadata = { name: 0, buffer: 1 } as const
const buffer = { data: 0, offset: 1, size: 2 } as const

// Field numbers of TFLite Support's metadata_schema.fbs.
const standard = { name: 0, description: 1, subgraphs: 3 } as const
const subgraph = { inputs: 2, outputs: 3 } as const
const tensor = { name: 0, units: 4, files: 6 } as const
const unit = { kind: 0, options: 1 } as const
const normalization = { mean: 0, std: 1 } as const
const associatedFile = { name: 0, type: 2 } as const

const normalizationUnit = 1
const labelsOfAnAxis = 2

export type TensorMetadata = {
  name: string
  /** The input is (value - mean) / std, the value an image's 0 to 255; one number, or one per channel. */
  normalization?: { mean: number[]; std: number[] }
  /** Names of files, in the zip archive behind the model, that hold a label a line for the tensor's last axis. */
  labelFiles: string[]
}

export type StandardMetadata = {
  name?: string
  description?: string
  /** In the order of the first subgraph. */
  inputs: TensorMetadata[]
  outputs: TensorMetadata[]
}

/**
 * The metadata entries of a .tflite file by name, as views on its bytes; of equal names the last.
 *
 * @throws TfliteFormatError
 */
export function readTfliteMetadata(bytes: Uint8Array): Map<string, Uint8Array> {
  const root = new FlatBuffer(bytes).root('TFL3')
  const entries = new Map<string, Uint8Array>()
  for (const each of root.tables(model.metadata)) {
    const index = each.uint32(metadata.buffer, 0)
    const found = root.tableAt(model.buffers, index)
    if (found === undefined) throw new TfliteFormatError('bad-value', `buffer ${index}`)
    entries.set(each.string(metadata.name) ?? '', bufferBytes(found, bytes))
  }
  return entries
}

function bufferBytes(table: Table, file: Uint8Array): Uint8Array {
  const offset = table.uint64(buffer.offset, 0)
  if (offset <= 1) return table.bytes(buffer.data)
  const end = offset + table.uint64(buffer.size, 0)
  if (end > file.byteLength) throw new TfliteFormatError('truncated', `buffer until ${end}`)
  return file.subarray(offset, end)
}

/**
 * Reads the entry TFLITE_METADATA, which other tools read too.
 *
 * @throws TfliteFormatError
 */
export function readStandardMetadata(entry: Uint8Array): StandardMetadata {
  const root = new FlatBuffer(entry).root('M001')
  const main = root.tableAt(standard.subgraphs, 0)
  const tensors = (slot: number) => (main === undefined ? [] : [...main.tables(slot)].map(readTensor))
  const [name, description] = [root.string(standard.name), root.string(standard.description)]
  return {
    ...(name === undefined ? {} : { name }),
    ...(description === undefined ? {} : { description }),
    inputs: tensors(subgraph.inputs),
    outputs: tensors(subgraph.outputs)
  }
}

function readTensor(table: Table): TensorMetadata {
  const files = [...table.tables(tensor.files)].filter((file) => file.int8(associatedFile.type, 0) === labelsOfAnAxis)
  const options = [...table.tables(tensor.units)]
    .filter((each) => each.uint8(unit.kind, 0) === normalizationUnit)
    .map((each) => each.table(unit.options))[0]
  return {
    name: table.string(tensor.name) ?? '',
    labelFiles: files.flatMap((file) => file.string(associatedFile.name) ?? []),
    ...(options === undefined
      ? {}
      : {
          normalization: { mean: options.float32s(normalization.mean), std: options.float32s(normalization.std) }
        })
  }
}
