import type { BlobStore } from '@skerry/blobs'
import { SkerryError } from '@skerry/contracts'
import type { FastifyReply, FastifyRequest } from 'fastify'

type Range = { start: number; end: number }

/** A single range of RFC 9110; null when the header asks for none, or for several, which may be answered whole. */
export function parseRange(header: string | undefined, bytes: number): Range | null {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (match === null || (match[1] === '' && match[2] === '')) return null
  const [, first = '', last = ''] = match
  const start = first === '' ? Math.max(0, bytes - Number(last)) : Number(first)
  const end = first === '' || last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1)
  if (start >= bytes || start > end)
    throw new SkerryError('range-unsatisfiable', `The blob has ${bytes} bytes; ${header} lies outside`)
  return { start, end }
}

/** Answers a blob, whole or in part. Its hash is its ETag: content never changes under it. */
export async function sendBlob(
  blobs: BlobStore,
  sha256: string,
  request: FastifyRequest,
  reply: FastifyReply,
  contentType = 'application/octet-stream'
): Promise<FastifyReply> {
  const found = await blobs.stat(sha256)
  if (found === null) throw new SkerryError('blob-unknown', `No blob has the hash ${sha256}`)
  const etag = `"${sha256}"`
  reply
    .header('etag', etag)
    .header('accept-ranges', 'bytes')
    .header('cache-control', 'private, max-age=31536000, immutable')
  if (request.headers['if-none-match'] === etag) return reply.code(304).send()
  const ifRange = request.headers['if-range']
  const range = ifRange === undefined || ifRange === etag ? parseRange(request.headers.range, found.bytes) : null
  reply.type(contentType)
  if (range === null) return reply.header('content-length', found.bytes).send(blobs.read(sha256))
  return reply
    .code(206)
    .header('content-length', range.end - range.start + 1)
    .header('content-range', `bytes ${range.start}-${range.end}/${found.bytes}`)
    .send(blobs.read(sha256, range))
}
