import type { RuntimeLibraryOffer } from '@skerry/contracts'
import { AgentError } from '../agent-error.ts'
import type { OnPoint } from '../agent-point.ts'
import { ArtifactCache } from '../artifact-cache.ts'
import { BlobClient } from '../blob-client.ts'
import { type HttpExchange, readBody, readProblem } from '../http-exchange.ts'

export type FetchDeps = {
  http: HttpExchange
  /** Addresses of the control plane's, see `endpointsOf`. */
  libraries: URL
  blob: (sha256: string) => URL
  httpToken: () => string | null
  controlPlanePublicKey: string
  random: () => number
  now: () => number
  onPoint: OnPoint
}

const LIST_BYTES = 65_536
/** A library is some 8 MB; more than this is none. */
const MAX_LIBRARY_BYTES = 256 * 1024 ** 2

/** null from a control plane that is older than this: it would not understand the facts that could follow. */
export async function listOffers(
  { http, libraries, httpToken }: FetchDeps,
  signal: AbortSignal
): Promise<unknown[] | null> {
  const headers = { authorization: `Bearer ${httpToken() ?? ''}` }
  const response = await http.call({ method: 'GET', url: libraries, headers, signal })
  if ((response.statusCode ?? 0) >= 400) {
    const { status, words } = await readProblem(response)
    if (status === 404) return null
    throw new AgentError('transfer-failed', `The LiteRT libraries of the control plane: ${words}`)
  }
  const answer = JSON.parse((await readBody(response, LIST_BYTES)).toString('utf8')) as { items?: unknown }
  return Array.isArray(answer.items) ? answer.items : []
}

/** Brings a library's file under its sha256 into `directory`, over cuts; what is there whole is not fetched again. */
export async function fetchLibrary(
  directory: string,
  { library: { sha256, bytes } }: RuntimeLibraryOffer,
  { http, blob: blobUrl, httpToken, random, now, onPoint }: FetchDeps,
  signal: AbortSignal
): Promise<void> {
  const blobs = new BlobClient({ http, blobUrl, httpToken, random })
  // A cache of its own: nothing evicts from it, and models do not compete with it.
  const cache = await ArtifactCache.open(directory, blobs, random, { maxBytes: MAX_LIBRARY_BYTES, now }, onPoint)
  await cache.fetch(sha256, signal, bytes)
  onPoint('library-fetched')
}
