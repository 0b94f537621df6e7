import { FlatBuffer } from './flatbuffer.ts'
import { TfliteFormatError } from './format-error.ts'

// Field numbers of the TFLite schema (version 3).
const subgraphsSlot = 2
const subgraph = { tensors: 0, inputs: 1 } as const
const shapeSlot = 0

/**
 * The file with other shapes for some inputs of a subgraph, by position; ranks stay. Interpreters work out every other
 * tensor's shape from these when they allocate, as after a call to resize an input.
 *
 * @throws TfliteFormatError when the file is none, or has no such input of that rank.
 */
export function withInputShapes(
  bytes: Uint8Array,
  subgraphIndex: number,
  changes: readonly { position: number; shape: readonly number[] }[]
): Uint8Array {
  const copy = new Uint8Array(bytes)
  const view = new DataView(copy.buffer)
  const table = new FlatBuffer(copy).root('TFL3').tableAt(subgraphsSlot, subgraphIndex)
  const inputs = table?.int32s(subgraph.inputs) ?? []
  const starts = [...(table?.tables(subgraph.tensors) ?? [])].map((each) => each.vectorStart(shapeSlot, 4))
  for (const { position, shape } of changes) {
    const tensor = table?.tableAt(subgraph.tensors, inputs[position] ?? -1)
    const start = tensor?.vectorStart(shapeSlot, 4)
    if (tensor === undefined || start === undefined || tensor.vectorLength(shapeSlot, 4) !== shape.length) {
      throw new TfliteFormatError('bad-value', `input ${position} in ${shape.length} dimensions`)
    }
    // Some writer may keep equal vectors once: then this would change other tensors too.
    if (starts.filter((each) => each === start).length > 1) {
      throw new TfliteFormatError('bad-value', `input ${position} shares its shape with another tensor`)
    }
    for (const [axis, size] of shape.entries()) view.setInt32(start + 4 * axis, size, true)
  }
  return copy
}
