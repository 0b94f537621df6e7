import { createHash } from 'node:crypto'
import fs from 'node:fs'
import fsp from 'node:fs/promises'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { BlobError, fileSystemCode } from './blob-error.ts'
import type { BlobInfo, BlobStore, ByteRange, PutOptions } from './blob-store.ts'
import { partFileName, removeStalePartFiles } from './part-files.ts'

const SHA256 = /^[0-9a-f]{64}$/

/**
 * Files at `<directory>/sha256/ab/cdef...`, written at `<directory>/part` in the same file system and renamed into
 * place, so that a name either holds all of its content or is not there.
 */
export class FileBlobStore implements BlobStore {
  readonly #contentDir: string
  readonly #partDir: string

  constructor(directory: string, nowMs: number) {
    this.#contentDir = path.join(directory, 'sha256')
    this.#partDir = path.join(directory, 'part')
    fs.mkdirSync(this.#contentDir, { recursive: true })
    fs.mkdirSync(this.#partDir, { recursive: true })
    removeStalePartFiles(this.#partDir, nowMs)
  }

  async put(source: AsyncIterable<Uint8Array>, options: PutOptions = {}): Promise<BlobInfo> {
    if (options.expectedSha256 !== undefined) assertSha256(options.expectedSha256)
    const partPath = path.join(this.#partDir, partFileName())
    try {
      const written = await writePart(partPath, source, options.maxBytes ?? Number.POSITIVE_INFINITY)
      if (options.expectedSha256 !== undefined && options.expectedSha256 !== written.sha256) {
        const message = `the content has the SHA-256 ${written.sha256}, not ${options.expectedSha256}`
        throw new BlobError('blob-hash-mismatch', message)
      }
      await options.check?.({ ...written, read: (range = {}) => fs.createReadStream(partPath, range) })
      await this.#moveIntoPlace(partPath, written.sha256)
      return written
    } catch (error) {
      await fsp.rm(partPath, { force: true })
      const code = fileSystemCode(error)
      if (code === 'ENOSPC' || code === 'EDQUOT') {
        throw new BlobError('disk-full', `no room left in ${this.#contentDir}`, { cause: error })
      }
      throw error
    }
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.stat(sha256)) !== null
  }

  async stat(sha256: string): Promise<{ bytes: number } | null> {
    try {
      return { bytes: (await fsp.stat(this.#pathOf(sha256))).size }
    } catch (error) {
      if (fileSystemCode(error) === 'ENOENT') return null
      throw error
    }
  }

  read(sha256: string, range: ByteRange = {}): Readable {
    return fs.createReadStream(this.#pathOf(sha256), {
      ...range,
      fs: { open: openOrUnknown(sha256), read: fs.read, close: fs.close }
    })
  }

  async remove(sha256: string): Promise<boolean> {
    try {
      await fsp.unlink(this.#pathOf(sha256))
      return true
    } catch (error) {
      if (fileSystemCode(error) === 'ENOENT') return false
      throw error
    }
  }

  #pathOf(sha256: string): string {
    assertSha256(sha256)
    return path.join(this.#contentDir, sha256.slice(0, 2), sha256.slice(2))
  }

  // Renaming over content that is already there is harmless, and heals a file that the disk has damaged.
  async #moveIntoPlace(partPath: string, sha256: string): Promise<void> {
    const target = this.#pathOf(sha256)
    const shard = path.dirname(target)
    const made = await fsp.mkdir(shard, { recursive: true })
    await fsp.rename(partPath, target)
    await syncDirectory(shard)
    if (made !== undefined) await syncDirectory(this.#contentDir)
  }
}

async function writePart(partPath: string, source: AsyncIterable<Uint8Array>, maxBytes: number): Promise<BlobInfo> {
  const hash = createHash('sha256')
  let bytes = 0
  const file = await fsp.open(partPath, 'wx', 0o640)
  try {
    // Not `for await`: leaving such a loop destroys the source, and with it the socket that a refusal is to be sent on.
    const chunks = source[Symbol.asyncIterator]()
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) {
      bytes += next.value.byteLength
      if (bytes > maxBytes) throw new BlobError('blob-too-large', `the content is larger than ${maxBytes} bytes`)
      hash.update(next.value)
      await writeFully(file, next.value)
    }
    await file.sync()
  } finally {
    await file.close()
  }
  return { sha256: hash.digest('hex'), bytes }
}

async function writeFully(file: fsp.FileHandle, chunk: Uint8Array): Promise<void> {
  let offset = 0
  while (offset < chunk.byteLength) offset += (await file.write(chunk, offset)).bytesWritten
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await fsp.open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function assertSha256(sha256: string): void {
  if (!SHA256.test(sha256)) throw new BlobError('blob-hash-invalid', 'a SHA-256 is 64 lower-case hexadecimal digits')
}

type Opened = (error: NodeJS.ErrnoException | BlobError | null, descriptor: number) => void

function openOrUnknown(sha256: string) {
  return (file: string, flags: string, mode: number, opened: Opened): void => {
    fs.open(file, flags, mode, (error, descriptor) => {
      if (error?.code === 'ENOENT') opened(new BlobError('blob-unknown', `there is no blob ${sha256}`), descriptor)
      else opened(error, descriptor)
    })
  }
}
