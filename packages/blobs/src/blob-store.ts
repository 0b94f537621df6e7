import type { Readable } from 'node:stream'

export type BlobInfo = { sha256: string; bytes: number }

/** Content that was written whole but has no name yet: nobody else can see it. */
export type BlobPart = BlobInfo & { read(range?: ByteRange): Readable }

export type PutOptions = {
  /** Looks at the content before it is stored; what it throws refuses the content. */
  check?: (part: BlobPart) => Promise<void>
  /** Lower-case hex; other content is refused with `blob-hash-mismatch`. */
  expectedSha256?: string
  /** More than this many bytes are refused with `blob-too-large`. */
  maxBytes?: number
}

/** Byte positions, both inclusive, as in an HTTP Range; the caller has checked them against `stat`. */
export type ByteRange = { start?: number; end?: number }

/** Content under the SHA-256 of its bytes. A name never changes its content, so nothing here needs a lock. */
export interface BlobStore {
  /**
   * Stores what the source yields and resolves once it survives a power cut. On any failure nothing is stored.
   * A source that was refused is left unread, not destroyed: an HTTP server must still be able to answer on its socket.
   */
  put(source: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<BlobInfo>
  has(sha256: string): Promise<boolean>
  stat(sha256: string): Promise<{ bytes: number } | null>
  /** The stream fails with `blob-unknown` when there is no such content. */
  read(sha256: string, range?: ByteRange): Readable
  /** False when it was not there. */
  remove(sha256: string): Promise<boolean>
}
