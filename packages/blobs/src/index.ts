export { BlobError, type BlobErrorCode } from './blob-error.ts'
export type { BlobInfo, BlobPart, BlobStore, ByteRange, PutOptions } from './blob-store.ts'
export { openBlobStore } from './open-blob-store.ts'
