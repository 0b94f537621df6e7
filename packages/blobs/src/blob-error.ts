export type BlobErrorCode =
  | 'blob-hash-invalid'
  | 'blob-hash-mismatch'
  | 'blob-too-large'
  | 'blob-unknown'
  | 'disk-full'
  | 'store-unsupported'

/** Everything this package refuses; other errors (permissions, a broken disk) pass through as they came. */
export class BlobError extends Error {
  readonly code: BlobErrorCode
  constructor(code: BlobErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'BlobError'
    this.code = code
  }
}

export function fileSystemCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
