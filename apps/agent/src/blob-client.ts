import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { AgentError } from './agent-error.ts'
import { Backoff } from './backoff.ts'
import { type HttpCall, type HttpExchange, readBody, readProblem } from './http-exchange.ts'
import type { NetworkMeter } from './network-meter.ts'

export type BlobRange = { response: IncomingMessage; startsAt: number }

export type BlobClientDeps = {
  http: HttpExchange
  blobUrl: (sha256: string) => URL
  /** The current session's token, null while there is no session. */
  httpToken: () => string | null
  random: () => number
  meter?: NetworkMeter
}

/** Attempts at one exchange before the caller hears of it; a token of an ended session is one such failure. */
const ATTEMPTS = 8
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 8_000

export const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** The control plane's blobs over HTTP, with the session's token. What may work later is tried again with backoff. */
export class BlobClient {
  readonly #deps: BlobClientDeps

  constructor(deps: BlobClientDeps) {
    this.#deps = deps
  }

  /**
   * The blob's bytes from `offset` on; `startsAt` is 0 when the server sent all of them anyway. Throws `blob-unknown`
   * when there is no such blob. One attempt: the caller knows how far it got.
   */
  async open(sha256: string, offset: number, signal: AbortSignal): Promise<BlobRange> {
    const headers: Record<string, string> = { ...this.#authorization() }
    if (offset > 0) {
      headers.range = `bytes=${offset}-`
      // A blob's hash is its ETag: whatever else lies at this address now is sent whole, and starts the file anew.
      headers['if-range'] = `"${sha256}"`
    }
    const askedMs = performance.now()
    const response = await this.#deps.http.call({ method: 'GET', url: this.#deps.blobUrl(sha256), headers, signal })
    this.#measure(response, askedMs)
    if (response.statusCode === 206) {
      const [, start] = /^bytes (\d+)-/.exec(response.headers['content-range'] ?? '') ?? []
      if (Number(start) === offset) return { response, startsAt: offset }
      response.destroy()
      throw new AgentError('transfer-failed', 'The control plane answered another range.', { retryable: true })
    }
    if (response.statusCode === 200) return { response, startsAt: 0 }
    throw await failureOf(response, sha256)
  }

  /** A whole small blob in memory, its hash checked. */
  async read(sha256: string, maxBytes: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#withRetries(signal, async () => {
      const { response } = await this.open(sha256, 0, signal)
      const bytes = await readBody(response, maxBytes).catch((error: unknown) => {
        throw error instanceof AgentError
          ? error
          : new AgentError('transfer-failed', 'The transfer was cut.', { retryable: true, cause: error })
      })
      if (sha256Of(bytes) === sha256) return bytes
      throw new AgentError('digest-mismatch', `The bytes of blob ${sha256} have another hash.`)
    })
  }

  async write(sha256: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#withRetries(signal, () => this.#put(sha256, bytes.byteLength, () => bytes, signal))
  }

  async writeFile(sha256: string, path: string, signal: AbortSignal): Promise<void> {
    const { size } = await stat(path)
    await this.#withRetries(signal, () => this.#put(sha256, size, () => createReadStream(path), signal))
  }

  async #put(
    sha256: string,
    bytes: number,
    body: () => NonNullable<HttpCall['body']>,
    signal: AbortSignal
  ): Promise<void> {
    const response = await this.#deps.http.call({
      method: 'PUT',
      url: this.#deps.blobUrl(sha256),
      headers: {
        ...this.#authorization(),
        'content-type': 'application/octet-stream',
        'content-length': String(bytes)
      },
      body: body(),
      signal
    })
    if ((response.statusCode ?? 0) >= 300) throw await failureOf(response, sha256)
    response.resume()
  }

  #measure(response: IncomingMessage, askedMs: number): void {
    const { meter } = this.#deps
    if (meter === undefined) return
    const { socket } = response
    const startedMs = performance.now()
    const before = socket.bytesRead
    meter.answered(startedMs - askedMs)
    // Without listening to its data, which would set it flowing.
    response.once('close', () => meter.transferred(socket.bytesRead - before, performance.now() - startedMs))
  }

  #authorization(): { authorization: string } {
    const token = this.#deps.httpToken()
    if (token !== null) return { authorization: `Bearer ${token}` }
    throw new AgentError('transfer-failed', 'There is no session with the control plane.', { retryable: true })
  }

  async #withRetries<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    const backoff = new Backoff(this.#deps.random, FIRST_WAIT_MS, LONGEST_WAIT_MS)
    for (let left = ATTEMPTS; ; left--) {
      try {
        return await attempt()
      } catch (error) {
        if (signal.aborted) throw new AgentError('aborted')
        if (left <= 1 || !(error instanceof AgentError && error.retryable)) throw error
        await waitOrAbort(backoff.nextMs(), signal)
      }
    }
  }
}

export async function waitOrAbort(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch(() => {
    throw new AgentError('aborted')
  })
}

async function failureOf(response: IncomingMessage, sha256: string): Promise<AgentError> {
  const { status, words } = await readProblem(response)
  if (status === 404) return new AgentError('blob-unknown', `The control plane has no blob ${sha256}.`)
  // 401: the token belonged to a session that has ended; the next session brings another.
  if (status >= 500 || status === 401 || status === 408 || status === 429) {
    return new AgentError('transfer-failed', `Blob ${sha256}: ${words}`, { retryable: true })
  }
  return new AgentError('blob-refused', `Blob ${sha256}: ${words}`)
}
