import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { parseInferRequest } from '@skerry/contracts'
import type { Logger } from 'pino'
import { type LocalAddress, listen } from './local-address.ts'
import { LocalError, localErrorOf } from './local-error.ts'
import type { LocalModels } from './local-models.ts'

export type LocalServerOptions = {
  address: LocalAddress
  models: LocalModels
  agentVersion: string
  /** A longer request is refused. */
  maxBodyBytes: number
  /** From a request's arrival to its answer, the wait for a slot included. */
  timeoutMs: number
  log: Logger
}

const MAX_CONNECTIONS = 256
const HEADERS_TIMEOUT_MS = 10_000
const BODY_TIMEOUT_MS = 30_000
const MODEL = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer))?$/

type Reply = { status: number; headers: Record<string, string>; parts: Uint8Array[] }

/**
 * The Open Inference Protocol V2 for programs on this device, over loopback or a Unix socket, with the network or
 * without: health, server and model metadata, and inference in JSON or with the binary tensor extension. Errors are
 * `{"error": "..."}`.
 */
export class LocalServer {
  readonly address: string
  readonly #server: Server
  readonly #stopping: AbortController

  static async start(options: LocalServerOptions): Promise<LocalServer> {
    const stopping = new AbortController()
    const server = createServer({ headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: BODY_TIMEOUT_MS })
    server.maxConnections = MAX_CONNECTIONS
    server.on('request', (request, response) => {
      void respond(options, request, response, stopping.signal)
    })
    return new LocalServer(await listen(server, options.address), server, stopping)
  }

  private constructor(address: string, server: Server, stopping: AbortController) {
    this.address = address
    this.#server = server
    this.#stopping = stopping
  }

  /** Takes no more requests, and lets those that run end within `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#server.closeIdleConnections()
    const timer = setTimeout(() => {
      this.#stopping.abort()
      this.#server.closeAllConnections()
    }, graceMs)
    await closed
    clearTimeout(timer)
  }
}

async function respond(
  options: LocalServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
  stopping: AbortSignal
): Promise<void> {
  const left = new AbortController()
  response.once('close', () => left.abort())
  let reply: Reply
  try {
    refuseStrangers(options.address, request)
    reply = await route(options, request, AbortSignal.any([left.signal, stopping]))
  } catch (error) {
    const { status, message } = localErrorOf(error)
    if (status >= 500) options.log.warn({ url: request.url, status, error: message }, 'a local request failed')
    reply = json(status, { error: message })
  }
  if (left.signal.aborted) return
  const bytes = reply.parts.reduce((sum, part) => sum + part.byteLength, 0)
  // What was not read of a refused body would be taken for the next request.
  const close = request.complete || reply.status < 400 ? {} : { connection: 'close' }
  response.writeHead(reply.status, { ...reply.headers, 'content-length': bytes, ...close })
  for (const part of reply.parts) response.write(part)
  response.end()
}

/** A page in a browser on this device may reach a port, its own server's name pointing here; it says so in these. */
function refuseStrangers(address: LocalAddress, { headers }: IncomingMessage): void {
  if ('path' in address) return
  const { origin, host = '' } = headers
  const known = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i.test(host)
  if (origin !== undefined || !known) throw new LocalError(403, 'Only programs on this device are answered.')
}

async function route(options: LocalServerOptions, request: IncomingMessage, signal: AbortSignal): Promise<Reply> {
  const { models } = options
  const path = (request.url ?? '').replace(/\?.*$/, '').replace(/(.)\/$/, '$1')
  const [, escapedName, escapedVersion, action] = MODEL.exec(path) ?? []
  if (action === 'infer') allow(request, 'POST')
  else allow(request, 'GET')
  if (path === '/v2/health/live') return json(200, { live: true })
  if (path === '/v2/health/ready') return readiness({}, models.isReady())
  if (path === '/v2')
    return json(200, { name: 'skerry-agent', version: options.agentVersion, extensions: ['binary_tensor_data'] })
  if (escapedName === undefined) throw new LocalError(404, `There is nothing at ${path}.`)
  const name = decoded(escapedName)
  const version = escapedVersion === undefined ? undefined : decoded(escapedVersion)
  if (action === 'ready') return readiness({ name }, models.isModelReady(name, version))
  if (action === undefined) return json(200, await models.metadata(name, version))
  return infer(options, name, version, request, signal)
}

async function infer(
  { models, maxBodyBytes, timeoutMs }: LocalServerOptions,
  name: string,
  version: string | undefined,
  request: IncomingMessage,
  signal: AbortSignal
): Promise<Reply> {
  const encoding = request.headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity') throw new LocalError(415, `The content-encoding ${encoding} is not offered here.`)
  const header = request.headers['inference-header-content-length']
  const body = parseInferRequest(await readRequest(request, maxBodyBytes), Array.isArray(header) ? header[0] : header)
  const patienceMs = Math.ceil(Math.min(timeoutMs, body.timeoutMs ?? timeoutMs))
  const late = AbortSignal.timeout(patienceMs)
  const tooLate = new Promise<never>((_resolve, reject) => {
    const refuse = (): void => reject(new LocalError(504, `There was no answer within ${patienceMs} ms.`))
    late.addEventListener('abort', refuse, { once: true })
  })
  // The caller hears at once; an inference that runs has a moment to end by itself before its process is ended.
  const answer = await Promise.race([models.infer(name, version, body, AbortSignal.any([signal, late])), tooLate])
  return { status: 200, ...answer }
}

/** How many times the limit is read and thrown away, so that who sends too much gets to read why it is refused. */
const DRAINED = 4

async function readRequest(request: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const parts: Buffer[] = []
  let bytes = 0
  // Leaving the loop early would close the connection, and the refusal would not arrive.
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.byteLength
    if (bytes <= maxBytes) parts.push(part)
    else parts.length = 0
    if (bytes > DRAINED * maxBytes) break
  }
  if (bytes > maxBytes) throw new LocalError(413, `A request has at most ${maxBytes} bytes.`)
  return Buffer.concat(parts, bytes)
}

function allow(request: IncomingMessage, method: 'GET' | 'POST'): void {
  if (request.method === method || (method === 'GET' && request.method === 'HEAD')) return
  throw new LocalError(405, `${request.method} is not offered at ${request.url}; ${method} is.`)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new LocalError(400, `'${text}' is not a name.`)
  }
}

const readiness = (head: object, ready: boolean): Reply => json(ready ? 200 : 503, { ...head, ready })

function json(status: number, body: object): Reply {
  return { status, headers: { 'content-type': 'application/json' }, parts: [Buffer.from(JSON.stringify(body))] }
}
