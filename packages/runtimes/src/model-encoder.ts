/* Writes the small models that runtimes are asked about themselves with. */

export type Field = { int8: number } | { int32: number } | { to: Node } | undefined
export type Node = { table: Field[] } | { text: string } | { ints: number[] } | { list: Node[] } | { data: NodeData }

/** Numbers as they stand in memory; their first byte stands on a boundary of 16, which runtimes may rely on. */
export type NodeData = Float32Array | BigInt64Array | Int8Array | Uint8Array | Int32Array

export function text(value: string): Field {
  return { to: { text: value } }
}

export function ints(values: number[]): Field {
  return { to: { ints: values } }
}

export function data(values: NodeData): Field {
  return { to: { data: values } }
}

export function list(nodes: Node[]): Field {
  return { to: { list: nodes } }
}

/** A .tflite file of at most 8 KiB, a FlatBuffer written front to back: each node before the nodes that it refers to, all on four-byte boundaries. */
export function encodeModel(root: Node): Uint8Array {
  const bytes = Buffer.alloc(8192)
  bytes.write('TFL3', 4)
  let end = 8
  const refer = (slot: number, node: Node): void => {
    bytes.writeUInt32LE(write(node) - slot, slot)
  }
  const reserve = (length: number): number => {
    const start = end
    end = (end + length + 3) & ~3
    return start
  }
  const write = (node: Node): number => {
    if ('table' in node) return writeTable(node.table)
    if ('text' in node) {
      const length = Buffer.byteLength(node.text)
      const start = reserve(4 + length + 1)
      bytes.writeUInt32LE(length, start)
      bytes.write(node.text, start + 4)
      return start
    }
    if ('data' in node) {
      const { buffer, byteOffset, byteLength, length } = node.data
      end = ((end + 4 + 15) & ~15) - 4
      const start = reserve(4 + byteLength)
      bytes.writeUInt32LE(length, start)
      bytes.set(new Uint8Array(buffer, byteOffset, byteLength), start + 4)
      return start
    }
    const items = 'ints' in node ? node.ints : node.list
    const start = reserve(4 + 4 * items.length)
    bytes.writeUInt32LE(items.length, start)
    for (const [index, item] of items.entries()) {
      const slot = start + 4 + 4 * index
      if (typeof item === 'number') bytes.writeInt32LE(item, slot)
      else refer(slot, item)
    }
    return start
  }
  const writeTable = (fields: Field[]): number => {
    const vtable = reserve(4 + 2 * fields.length)
    const start = reserve(4 + 4 * fields.length)
    bytes.writeUInt16LE(4 + 2 * fields.length, vtable)
    bytes.writeUInt16LE(4 + 4 * fields.length, vtable + 2)
    bytes.writeInt32LE(start - vtable, start)
    for (const [index, field] of fields.entries()) {
      if (field === undefined) continue
      const slot = start + 4 + 4 * index
      bytes.writeUInt16LE(slot - start, vtable + 4 + 2 * index)
      if ('int8' in field) bytes.writeInt8(field.int8, slot)
      else if ('int32' in field) bytes.writeInt32LE(field.int32, slot)
      else refer(slot, field.to)
    }
    return start
  }
  refer(0, root)
  return bytes.subarray(0, end)
}
