import { createHash, type Hash } from 'node:crypto'
import { open } from 'node:fs/promises'

const PIECE_BYTES = 256 * 1024

/** In lower-case hex. */
export async function fileSha256(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  await hashFile(path, hash, signal)
  return hash.digest('hex')
}

/**
 * Adds a file's bytes to a hash. Through one buffer: the many of a stream lie in the C heap until the next collection,
 * as many megabytes as the file has, and leave holes there for as long as the process runs.
 */
export async function hashFile(path: string, hash: Hash, signal?: AbortSignal): Promise<void> {
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
  const file = await open(path)
  try {
    for (;;) {
      signal?.throwIfAborted()
      const { bytesRead } = await file.read(piece)
      if (bytesRead === 0) return
      hash.update(piece.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}
