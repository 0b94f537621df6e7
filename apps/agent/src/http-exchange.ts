import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import type { Readable } from 'node:stream'
import type { Problem } from '@skerry/contracts'
import { AgentError, wordsOf } from './agent-error.ts'

export type HttpCall = {
  method: 'GET' | 'POST' | 'PUT'
  url: URL
  headers: Record<string, string>
  body?: Uint8Array | Readable
  signal?: AbortSignal
}

/** A request whose far side says nothing for this long has failed. */
const SILENCE_MS = 30_000
const PROBLEM_BYTES = 65_536

/**
 * One HTTP exchange at a time over kept-alive sockets. node:http and not fetch: a body that is streamed from a file
 * keeps its content-length, and `close` leaves no socket behind.
 */
export class HttpExchange {
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: 8 })
  readonly #https = new HttpsAgent({ keepAlive: true, maxSockets: 8 })

  /** Resolves with the head of any answer; the caller reads or destroys its body. Rejects with `transfer-failed`. */
  async call({ method, url, headers, body, signal }: HttpCall): Promise<IncomingMessage> {
    const secure = url.protocol === 'https:'
    const request = (secure ? httpsRequest : httpRequest)(url, {
      method,
      headers,
      agent: secure ? this.#https : this.#http,
      timeout: SILENCE_MS,
      ...(signal === undefined ? {} : { signal })
    })
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      request.once('response', resolve)
      // More than one may come, also after the answer.
      request.on('error', reject)
    })
    request.once('timeout', () => request.destroy(new Error(`no answer within ${SILENCE_MS / 1000} s`)))
    if (body === undefined || body instanceof Uint8Array) request.end(body)
    else {
      // Not stream.pipeline: it waits for the request to close, which comes only after its answer was read.
      body.once('error', (error) => request.destroy(error))
      request.once('close', () => body.destroy())
      body.pipe(request)
    }
    try {
      const response = await answered
      response.once('error', () => request.destroy())
      // A refusal may come before the whole body went out: nobody reads the rest.
      response.once('end', () => {
        if (!request.writableFinished) request.destroy()
      })
      return response
    } catch (error) {
      if (signal?.aborted) throw new AgentError('aborted')
      throw new AgentError('transfer-failed', `${method} ${url.host}: ${wordsOf(error)}`, {
        retryable: true,
        cause: error
      })
    }
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }
}

/** Bytes that may wait for the disk before the sender is asked to. */
const READ_AHEAD_BYTES = 4 * 1024 * 1024

/**
 * A body piece by piece, with everything that had arrived before it failed. Iterating over the response itself throws
 * away what it still buffers when the connection goes, some 80 KB a cut, which would then be fetched again.
 */
export async function* arrivals(response: IncomingMessage): AsyncGenerator<Buffer, void> {
  const pieces: Buffer[] = []
  let waitingBytes = 0
  let ended = false
  let failure: Error | null = null
  let wake: () => void = () => undefined
  response.on('data', (piece: Buffer) => {
    pieces.push(piece)
    waitingBytes += piece.byteLength
    if (waitingBytes > READ_AHEAD_BYTES) response.pause()
    wake()
  })
  response.once('end', () => {
    ended = true
    wake()
  })
  response.on('error', (error) => {
    failure ??= error
    wake()
  })
  response.once('close', () => {
    failure ??= new Error('the connection closed')
    wake()
  })
  try {
    for (;;) {
      const piece = pieces.shift()
      if (piece !== undefined) {
        waitingBytes -= piece.byteLength
        if (waitingBytes <= READ_AHEAD_BYTES && response.isPaused()) response.resume()
        yield piece
      } else if (ended) return
      else if (failure !== null) throw failure
      else {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
  } finally {
    response.destroy()
  }
}

/** Reads a whole body of at most `maxBytes`. */
export async function readBody(response: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    bytes += part.byteLength
    if (bytes > maxBytes) {
      response.destroy()
      throw new AgentError('transfer-failed', `The answer is longer than ${maxBytes} bytes.`)
    }
    parts.push(part)
  }
  return Buffer.concat(parts, bytes)
}

/** What an answer of 400 and more says: its problem+json, or what can be made of something else (a proxy's page). */
export async function readProblem(response: IncomingMessage): Promise<{ status: number; code: string; words: string }> {
  const status = response.statusCode ?? 0
  const text = (await readBody(response, PROBLEM_BYTES).catch(() => Buffer.alloc(0))).toString('utf8')
  try {
    const problem = JSON.parse(text) as Partial<Problem>
    const fields = (problem.errors ?? []).map(({ pointer, detail }) => `${pointer}: ${detail}`)
    return {
      status,
      code: problem.code ?? `http-${status}`,
      words: [problem.detail ?? problem.title ?? `HTTP ${status}`, ...fields].join('; ')
    }
  } catch {
    return { status, code: `http-${status}`, words: `HTTP ${status} ${response.statusMessage ?? ''}`.trim() }
  }
}
