import { TfliteFormatError } from './format-error.ts'

const decoder = new TextDecoder()

// An honest file refers to each part about once. A hostile one lets a million references share one table, which would
// make reading quadratic, so each element and each byte of text counts against a budget.
const maxWork = 5_000_000

/** A FlatBuffer over untrusted bytes: every read is checked, so that a corrupt file throws `TfliteFormatError` only. */
export class FlatBuffer {
  readonly length: number
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #work: number

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.length = bytes.byteLength
    this.#work = Math.min(maxWork, 8 * bytes.byteLength + 1024)
  }

  /** The root table, after a check of the four-letter file identifier. */
  root(identifier: string): Table {
    if (this.length < 8 || String.fromCharCode(...this.#bytes.subarray(4, 8)) !== identifier) {
      throw new TfliteFormatError('not-tflite')
    }
    return new Table(this, this.offsetAt(0))
  }

  spend(units: number): void {
    this.#work -= units
    if (this.#work < 0) throw new TfliteFormatError('too-complex')
  }

  check(position: number, bytes: number): void {
    if (position < 0 || position + bytes > this.length) {
      throw new TfliteFormatError('truncated', `${bytes} bytes at ${position} of ${this.length}`)
    }
  }

  uint8(position: number): number {
    this.check(position, 1)
    return this.#view.getUint8(position)
  }

  int8(position: number): number {
    this.check(position, 1)
    return this.#view.getInt8(position)
  }

  uint16(position: number): number {
    this.check(position, 2)
    return this.#view.getUint16(position, true)
  }

  int32(position: number): number {
    this.check(position, 4)
    return this.#view.getInt32(position, true)
  }

  uint32(position: number): number {
    this.check(position, 4)
    return this.#view.getUint32(position, true)
  }

  float32(position: number): number {
    this.check(position, 4)
    return this.#view.getFloat32(position, true)
  }

  uint64(position: number): number {
    this.check(position, 8)
    return safeInteger(this.#view.getBigUint64(position, true))
  }

  int64(position: number): number {
    this.check(position, 8)
    return safeInteger(this.#view.getBigInt64(position, true))
  }

  /** Follows the unsigned relative offset stored at `position`. */
  offsetAt(position: number): number {
    const relative = this.uint32(position)
    if (relative === 0) throw new TfliteFormatError('bad-offset', `offset 0 at ${position}`)
    this.check(position + relative, 4)
    return position + relative
  }

  /** A view on the file's own bytes. */
  bytes(position: number, length: number): Uint8Array {
    this.check(position, length)
    return this.#bytes.subarray(position, position + length)
  }

  text(position: number, length: number): string {
    this.check(position, length)
    this.spend(length)
    return decoder.decode(this.#bytes.subarray(position, position + length))
  }
}

/** One table of a FlatBuffer. `slot` is the field's number in the schema, counted from 0. */
export class Table {
  readonly #file: FlatBuffer
  readonly #position: number
  readonly #tableBytes: number
  readonly #vtable: number
  readonly #vtableBytes: number

  constructor(file: FlatBuffer, position: number) {
    file.spend(1)
    const vtable = position - file.int32(position)
    const vtableBytes = file.uint16(vtable)
    const tableBytes = file.uint16(vtable + 2)
    if (vtableBytes < 4 || vtableBytes % 2 !== 0 || tableBytes < 4) {
      throw new TfliteFormatError('bad-table', `at ${position}`)
    }
    file.check(vtable, vtableBytes)
    file.check(position, tableBytes)
    this.#file = file
    this.#position = position
    this.#tableBytes = tableBytes
    this.#vtable = vtable
    this.#vtableBytes = vtableBytes
  }

  uint8(slot: number, absent: number): number {
    const at = this.#field(slot, 1)
    return at === undefined ? absent : this.#file.uint8(at)
  }

  int8(slot: number, absent: number): number {
    const at = this.#field(slot, 1)
    return at === undefined ? absent : this.#file.int8(at)
  }

  int32(slot: number, absent: number): number {
    const at = this.#field(slot, 4)
    return at === undefined ? absent : this.#file.int32(at)
  }

  uint32(slot: number, absent: number): number {
    const at = this.#field(slot, 4)
    return at === undefined ? absent : this.#file.uint32(at)
  }

  uint64(slot: number, absent: number): number {
    const at = this.#field(slot, 8)
    return at === undefined ? absent : this.#file.uint64(at)
  }

  string(slot: number): string | undefined {
    const at = this.#field(slot, 4)
    if (at === undefined) return undefined
    const start = this.#file.offsetAt(at)
    return this.#file.text(start + 4, this.#file.uint32(start))
  }

  table(slot: number): Table | undefined {
    const at = this.#field(slot, 4)
    return at === undefined ? undefined : new Table(this.#file, this.#file.offsetAt(at))
  }

  /** Number of elements of the vector, each `elementBytes` long; 0 when it is absent. */
  vectorLength(slot: number, elementBytes: number): number {
    return this.#vector(slot, elementBytes).length
  }

  /** Where the elements of the vector begin in the file; undefined when it is absent or empty. */
  vectorStart(slot: number, elementBytes: number): number | undefined {
    const { start, length } = this.#vector(slot, elementBytes)
    return length === 0 ? undefined : start
  }

  *tables(slot: number): Generator<Table> {
    const { start, length } = this.#vector(slot, 4)
    for (let i = 0; i < length; i++) yield new Table(this.#file, this.#file.offsetAt(start + 4 * i))
  }

  tableAt(slot: number, index: number): Table | undefined {
    const { start, length } = this.#vector(slot, 4)
    return index < 0 || index >= length ? undefined : new Table(this.#file, this.#file.offsetAt(start + 4 * index))
  }

  /** The bytes of a vector of bytes, as a view; empty when it is absent. */
  bytes(slot: number): Uint8Array {
    const { start, length } = this.#vector(slot, 1)
    return this.#file.bytes(start, length)
  }

  int32s(slot: number): number[] {
    return this.#numbers(slot, 4, (at) => this.#file.int32(at))
  }

  int64s(slot: number): number[] {
    return this.#numbers(slot, 8, (at) => this.#file.int64(at))
  }

  float32s(slot: number): number[] {
    return this.#numbers(slot, 4, (at) => this.#file.float32(at))
  }

  #numbers(slot: number, elementBytes: number, read: (position: number) => number): number[] {
    const { start, length } = this.#vector(slot, elementBytes)
    this.#file.spend(length)
    const values: number[] = []
    for (let i = 0; i < length; i++) values.push(read(start + elementBytes * i))
    return values
  }

  #vector(slot: number, elementBytes: number): { start: number; length: number } {
    const at = this.#field(slot, 4)
    if (at === undefined) return { start: 0, length: 0 }
    const position = this.#file.offsetAt(at)
    const length = this.#file.uint32(position)
    this.#file.check(position + 4, length * elementBytes)
    return { start: position + 4, length }
  }

  #field(slot: number, bytes: number): number | undefined {
    const entry = 4 + 2 * slot
    if (entry + 2 > this.#vtableBytes) return undefined
    const offset = this.#file.uint16(this.#vtable + entry)
    if (offset === 0) return undefined
    if (offset < 4 || offset + bytes > this.#tableBytes) {
      throw new TfliteFormatError('bad-offset', `field ${slot} of the table at ${this.#position}`)
    }
    return this.#position + offset
  }
}

function safeInteger(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) || value < BigInt(Number.MIN_SAFE_INTEGER)) {
    throw new TfliteFormatError('bad-value', `integer ${value}`)
  }
  return Number(value)
}
