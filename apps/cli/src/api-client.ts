import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ReadableStream as WebStream } from 'node:stream/web'
import type { Job, Problem } from '@skerry/contracts'
import { CliError } from './cli-error.ts'
import type { CliConfig } from './config.ts'

/** A client for the control plane that the configuration names. @throws CliError without a key */
export function apiClientOf({ url, key, dataDir }: CliConfig): ApiClient {
  if (key !== undefined) return new ApiClient(url, key)
  throw new CliError(`No key: set SKERRY_KEY, or SKERRY_DATA_DIR to the folder that holds admin.key (now ${dataDir})`)
}

/** A control plane's REST interface. Every failure is a CliError with the server's own words. */
export class ApiClient {
  readonly url: string
  readonly #key: string
  constructor(url: string, key: string) {
    this.url = url.replace(/\/$/, '')
    this.#key = key
  }

  async request<T>(
    method: string,
    route: string,
    body?: RequestInit['body'],
    headers: Record<string, string> = {}
  ): Promise<T> {
    const text = await (await this.#fetch(method, route, body, headers)).text()
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  /** A body of any size, as it comes. */
  async getStream(route: string): Promise<Readable> {
    const { body } = await this.#fetch('GET', route)
    return body === null ? Readable.from([]) : Readable.fromWeb(body as WebStream)
  }

  async #fetch(
    method: string,
    route: string,
    body?: RequestInit['body'],
    headers: Record<string, string> = {}
  ): Promise<Response> {
    let response: Response
    try {
      response = await fetch(`${this.url}/api/v1${route}`, {
        method,
        headers: { authorization: `Bearer ${this.#key}`, ...headers },
        ...(body === undefined ? {} : { body, duplex: 'half' })
      })
    } catch (cause) {
      throw new CliError(`Nothing answers at ${this.url}: is the control plane running? (npm start)`, { cause })
    }
    if (response.ok) return response
    throw new CliError(`${method} ${route}: ${describe(response.status, await response.text())}`)
  }

  get<T>(route: string): Promise<T> {
    return this.request('GET', route)
  }

  post<T>(route: string, body: unknown = {}, headers: Record<string, string> = {}): Promise<T> {
    return this.request('POST', route, JSON.stringify(body), { 'content-type': 'application/json', ...headers })
  }

  /** Streams a file; the server checks its digest. */
  async putFile<T>(route: string, file: string): Promise<T> {
    const digest = Buffer.from(await fileSha256(file), 'hex').toString('base64')
    const headers = { 'content-type': 'application/octet-stream', 'content-digest': `sha-256=:${digest}:` }
    return this.request('PUT', route, createReadStream(file) as unknown as ReadableStream, headers)
  }

  async putBlobFile(file: string): Promise<string> {
    const sha256 = await fileSha256(file)
    await this.putFile(`/blobs/${sha256}`, file)
    return sha256
  }

  async putBlob(bytes: Uint8Array): Promise<string> {
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    await this.request('PUT', `/blobs/${sha256}`, Buffer.from(bytes), { 'content-type': 'application/octet-stream' })
    return sha256
  }

  /** Waits for a job to end, telling each change of its progress. */
  async ended(id: string, onProgress?: (job: Job) => void): Promise<Job> {
    for (;;) {
      const job = await this.get<Job>(`/jobs/${id}?waitMs=${onProgress === undefined ? 30_000 : 500}`)
      onProgress?.(job)
      if (job.endedAt !== null) return job
    }
  }
}

async function fileSha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}

function describe(status: number, text: string): string {
  try {
    const { title, detail, code } = JSON.parse(text) as Problem
    return `${title}${detail === undefined || detail === title ? '' : `. ${detail}`} (${status} ${code})`
  } catch {
    return `${status} ${text.slice(0, 300)}`
  }
}
