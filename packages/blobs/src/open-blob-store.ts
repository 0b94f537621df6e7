import { fileURLToPath } from 'node:url'
import { BlobError } from './blob-error.ts'
import type { BlobStore } from './blob-store.ts'
import { FileBlobStore } from './file-blob-store.ts'

/**
 * Opens the store that a URL names: `file:///directory`, made when it is not there. Part files that a killed process
 * left are removed; `nowMs` (Unix time) decides which of another machine's are old enough to count as left.
 */
export function openBlobStore(url: string, nowMs: number = Date.now()): BlobStore {
  const scheme = URL.canParse(url) ? new URL(url).protocol : ''
  if (scheme === 'file:') return new FileBlobStore(fileURLToPath(url), nowMs)
  throw new BlobError('store-unsupported', `a blob store is a file:///directory URL, not ${url}`)
}
