import { type FileHandle, open } from 'node:fs/promises'
import { promisify } from 'node:util'
import zlib from 'node:zlib'

const inflateRaw = promisify(zlib.inflateRaw)

export type ZipErrorCode = 'not-a-zip' | 'truncated' | 'unsupported' | 'corrupt' | 'too-large'

export class ZipError extends Error {
  override readonly name = 'ZipError'
  readonly code: ZipErrorCode
  constructor(code: ZipErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

export type ZipEntry = {
  name: string
  method: number
  crc: number
  storedBytes: number
  bytes: number
  headerOffset: number
}

const endBytes = 22
const end64Bytes = 56
const locator64Bytes = 20
const entryBytes = 46
const localBytes = 30
const maxCommentBytes = 65535
const maxDirectoryBytes = 64 << 20

/** A zip archive opened for reading entry by entry (APPNOTE.TXT; stored and deflated, zip64, no encryption). */
export class ZipReader {
  readonly entries: readonly ZipEntry[]
  readonly #file: FileHandle
  readonly #fileBytes: number

  private constructor(file: FileHandle, fileBytes: number, entries: ZipEntry[]) {
    this.#file = file
    this.#fileBytes = fileBytes
    this.entries = entries
  }

  /** @throws ZipError, with `truncated` where the file starts as a zip archive and ends before its directory. */
  static async open(path: string): Promise<ZipReader> {
    const file = await open(path, 'r')
    try {
      const { size } = await file.stat()
      return new ZipReader(file, size, await readDirectory(file, size))
    } catch (error) {
      await file.close()
      throw error
    }
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  /** The entry's whole content, its checksum verified. @throws ZipError `too-large` beyond `maxBytes`. */
  async read(entry: ZipEntry, maxBytes: number): Promise<Buffer> {
    if (entry.bytes > maxBytes) {
      throw new ZipError('too-large', `${entry.name} has ${entry.bytes} bytes; ${maxBytes} are allowed.`)
    }
    const local = await readAt(this.#file, this.#fileBytes, entry.headerOffset, localBytes)
    if (local.readUInt32LE(0) !== 0x04034b50) throw new ZipError('corrupt', `${entry.name} has no local header.`)
    const start = entry.headerOffset + localBytes + local.readUInt16LE(26) + local.readUInt16LE(28)
    const stored = await readAt(this.#file, this.#fileBytes, start, entry.storedBytes)
    const content = entry.method === 0 ? stored : await inflate(entry, stored)
    if (content.length !== entry.bytes || zlib.crc32(content) !== entry.crc) {
      throw new ZipError('corrupt', `${entry.name} does not have the checksum that the archive says.`)
    }
    return content
  }
}

async function inflate(entry: ZipEntry, stored: Buffer): Promise<Buffer> {
  if (entry.method !== 8) {
    throw new ZipError('unsupported', `${entry.name} uses compression method ${entry.method}; only deflate is read.`)
  }
  try {
    // The limit stops an entry that unpacks to more than its header says.
    return await inflateRaw(stored, { maxOutputLength: Math.max(entry.bytes, 1) })
  } catch (cause) {
    throw new ZipError('corrupt', `${entry.name} cannot be unpacked.`, cause)
  }
}

async function readDirectory(file: FileHandle, fileBytes: number): Promise<ZipEntry[]> {
  const tailBytes = Math.min(fileBytes, endBytes + maxCommentBytes)
  const tail = await readAt(file, fileBytes, fileBytes - tailBytes, tailBytes)
  let at = tail.length - endBytes
  while (at >= 0 && tail.readUInt32LE(at) !== 0x06054b50) at--
  if (at < 0) {
    const head = await readAt(file, fileBytes, 0, Math.min(fileBytes, 4))
    const started = head.length === 4 && head.readUInt32LE(0) === 0x04034b50
    throw started
      ? new ZipError('truncated', 'The archive ends before its directory: it is truncated.')
      : new ZipError('not-a-zip', 'The file is not a zip archive.')
  }
  const end = {
    count: tail.readUInt16LE(at + 10),
    bytes: tail.readUInt32LE(at + 12),
    offset: tail.readUInt32LE(at + 16)
  }
  const isZip64 = end.count === 0xffff || end.bytes === 0xffffffff || end.offset === 0xffffffff
  const { count, bytes, offset } = isZip64 ? await readEnd64(file, fileBytes, fileBytes - tailBytes + at) : end
  if (bytes > maxDirectoryBytes) throw new ZipError('too-large', `The archive's directory has ${bytes} bytes.`)
  return parseDirectory(await readAt(file, fileBytes, offset, bytes), count)
}

/** What does not fit into the end record stands in another before it, which a locator between the two points at. */
async function readEnd64(file: FileHandle, fileBytes: number, endAt: number) {
  const damaged = () => new ZipError('corrupt', "The archive's end is damaged.")
  if (endAt < locator64Bytes) throw damaged()
  const locator = await readAt(file, fileBytes, endAt - locator64Bytes, locator64Bytes)
  if (locator.readUInt32LE(0) !== 0x07064b50) throw damaged()
  const end = await readAt(file, fileBytes, readInteger64(locator, 8), end64Bytes)
  if (end.readUInt32LE(0) !== 0x06064b50) throw damaged()
  return { count: readInteger64(end, 32), bytes: readInteger64(end, 40), offset: readInteger64(end, 48) }
}

function readInteger64(buffer: Buffer, at: number): number {
  const value = buffer.readBigUInt64LE(at)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ZipError('corrupt', `The archive says ${value}.`)
  return Number(value)
}

function parseDirectory(directory: Buffer, count: number): ZipEntry[] {
  const entries: ZipEntry[] = []
  let at = 0
  for (let index = 0; index < count; index++) {
    if (at + entryBytes > directory.length || directory.readUInt32LE(at) !== 0x02014b50) {
      throw new ZipError('corrupt', "The archive's directory is damaged.")
    }
    const nameBytes = directory.readUInt16LE(at + 28)
    const end = at + entryBytes + nameBytes
    if (end > directory.length) throw new ZipError('corrupt', "The archive's directory is damaged.")
    const name = directory.toString('utf8', at + entryBytes, end)
    if (directory.readUInt16LE(at + 8) & 1) throw new ZipError('unsupported', `${name} is encrypted.`)
    const next = end + directory.readUInt16LE(at + 30) + directory.readUInt16LE(at + 32)
    const [bytes, storedBytes, headerOffset] = sizesOf(directory.subarray(at, next), end - at)
    const method = directory.readUInt16LE(at + 10)
    entries.push({ name, method, crc: directory.readUInt32LE(at + 16), storedBytes, bytes, headerOffset })
    at = next
  }
  return entries
}

/** Size, stored size and offset; those that do not fit follow in the extra field 1, in this order. */
function sizesOf(entry: Buffer, extraAt: number): [number, number, number] {
  const sizes: [number, number, number] = [entry.readUInt32LE(24), entry.readUInt32LE(20), entry.readUInt32LE(42)]
  if (!sizes.includes(0xffffffff)) return sizes
  const extraEnd = Math.min(entry.length, extraAt + entry.readUInt16LE(30))
  for (let at = extraAt; at + 4 <= extraEnd; at += 4 + entry.readUInt16LE(at + 2)) {
    if (entry.readUInt16LE(at) !== 1) continue
    let value = at + 4
    for (const [index, size] of sizes.entries()) {
      if (size !== 0xffffffff) continue
      if (value + 8 > extraEnd) throw new ZipError('corrupt', "The archive's directory is damaged.")
      sizes[index] = readInteger64(entry, value)
      value += 8
    }
    return sizes
  }
  return sizes
}

async function readAt(file: FileHandle, fileBytes: number, offset: number, length: number): Promise<Buffer> {
  if (offset + length > fileBytes) throw new ZipError('truncated', 'The archive refers to bytes beyond its end.')
  const buffer = Buffer.allocUnsafe(length)
  let read = 0
  while (read < length) {
    const { bytesRead } = await file.read(buffer, read, length - read, offset + read)
    if (bytesRead === 0) throw new ZipError('truncated', 'The archive ends early.')
    read += bytesRead
  }
  return buffer
}
