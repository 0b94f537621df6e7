const EOCD_BYTES = 22
/** A zip's comment is at most 64 KiB, so its end record lies within this many bytes of the end. */
const TAIL_BYTES = 65_536 + EOCD_BYTES
const EOCD64_BYTES = 56
const LOCATOR64_BYTES = 20
const ENTRY_BYTES = 46
const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024

/** Reads positions `start` to `end`, both inclusive. */
type Read = (start: number, end: number) => Promise<Buffer>

/** Names in a zip's central directory, null when the file has no whole one (it is cut, or no zip at all). */
export async function zipNames(bytes: number, read: Read): Promise<string[] | null> {
  const tailStart = Math.max(0, bytes - TAIL_BYTES)
  const tail = await read(tailStart, bytes - 1)
  const at = tail.lastIndexOf(Buffer.from('504b0506', 'hex'))
  if (at < 0 || at + EOCD_BYTES > tail.length) return null
  const place = await findDirectory(tail, at, tailStart, read)
  if (place === null || place.size > MAX_DIRECTORY_BYTES || place.offset + place.size > tailStart + at) return null
  return namesIn(place.size === 0 ? Buffer.alloc(0) : await read(place.offset, place.offset + place.size - 1))
}

async function findDirectory(tail: Buffer, at: number, tailStart: number, read: Read) {
  const size = tail.readUInt32LE(at + 12)
  const offset = tail.readUInt32LE(at + 16)
  if (size !== 0xffffffff && offset !== 0xffffffff) return { size, offset }
  // zip64: what does not fit stands in another record, which a locator right before this one points at.
  const locator = at - LOCATOR64_BYTES
  if (locator < 0 || tail.readUInt32LE(locator) !== 0x07064b50) return null
  const recordAt = tail.readBigUInt64LE(locator + 8)
  if (recordAt + BigInt(EOCD64_BYTES) > BigInt(tailStart + at)) return null
  const record = await read(Number(recordAt), Number(recordAt) + EOCD64_BYTES - 1)
  if (record.readUInt32LE(0) !== 0x06064b50) return null
  return { size: Number(record.readBigUInt64LE(40)), offset: Number(record.readBigUInt64LE(48)) }
}

function namesIn(directory: Buffer): string[] | null {
  const names: string[] = []
  for (let p = 0; p + ENTRY_BYTES <= directory.length; ) {
    if (directory.readUInt32LE(p) !== 0x02014b50) return null
    const nameBytes = directory.readUInt16LE(p + 28)
    names.push(directory.toString('utf8', p + ENTRY_BYTES, p + ENTRY_BYTES + nameBytes))
    p += ENTRY_BYTES + nameBytes + directory.readUInt16LE(p + 30) + directory.readUInt16LE(p + 32)
  }
  return names
}
