const blockBytes = 512
const magicOffset = 257
/** Of a long name, in an entry of its own before the one that it belongs to. */
const maxNameBytes = 1 << 16

export const isTar = (head: Buffer): boolean => head.toString('latin1', magicOffset, magicOffset + 5) === 'ustar'

/** Names of a tar archive's entries (POSIX ustar, pax and GNU long names), from its bytes as they come. */
export class TarNames {
  readonly names: string[] = []
  /** False once what comes is no header, or the archive has ended. */
  open = true
  #rest: Buffer = Buffer.alloc(0)
  #skip = 0
  #longName: string | undefined

  add(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    while (this.open) {
      const skipped = Math.min(this.#skip, bytes.length)
      this.#skip -= skipped
      bytes = bytes.subarray(skipped)
      const used = this.#skip > 0 ? 0 : this.#readEntry(bytes)
      if (used === 0) break
      bytes = bytes.subarray(used)
    }
    this.#rest = Buffer.from(bytes)
  }

  /** Bytes of the header that stands first, and of a long name with it; 0 until all of it is there. */
  #readEntry(bytes: Buffer): number {
    if (bytes.length < blockBytes) return 0
    const size = sizeOf(bytes)
    if (!isTar(bytes) || size === undefined) {
      this.open = false
      return 0
    }
    const padded = Math.ceil(size / blockBytes) * blockBytes
    const type = String.fromCharCode(bytes[156] ?? 0)
    if (type === 'L' || type === 'x') {
      if (size > maxNameBytes) this.open = false
      if (!this.open || bytes.length < blockBytes + padded) return 0
      const content = bytes.toString('utf8', blockBytes, blockBytes + size)
      this.#longName = (type === 'L' ? content : /(?:^|\n)\d+ path=([^\n]*)\n/.exec(content)?.[1]) ?? this.#longName
      return blockBytes + padded
    }
    const prefix = bytes.toString('latin1', magicOffset, magicOffset + 6) === 'ustar\0' ? text(bytes, 345, 155) : ''
    this.names.push(this.#longName?.replace(/\0.*$/s, '') ?? (prefix === '' ? '' : `${prefix}/`) + text(bytes, 0, 100))
    this.#longName = undefined
    this.#skip = padded
    return blockBytes
  }
}

/** Octal digits, or a binary number whose first bit is set. */
function sizeOf(header: Buffer): number | undefined {
  if (((header[124] ?? 0) & 0x80) !== 0) {
    const size = header.readBigUInt64BE(128)
    return size <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(size) : undefined
  }
  const digits = text(header, 124, 12).trim()
  return /^[0-7]*$/.test(digits) ? Number.parseInt(digits || '0', 8) : undefined
}

const text = (bytes: Buffer, at: number, length: number): string =>
  bytes.toString('utf8', at, at + length).replace(/\0.*$/s, '')
