import { mkdtemp, readFile, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Job } from '@skerry/contracts'
import { type ControlPlane, type ControlPlaneConfig, startControlPlane } from '@skerry/control-plane'
import { type FreshDatabase, freshDatabase, startTestValkey } from '@skerry/testkit'

export const migrationsDir = path.resolve(import.meta.dirname, '../prisma/migrations')

export type Answer<T> = { status: number; headers: Headers; body: T }

/** A control plane in this process, on a database and a Valkey of its own. */
export class Stack {
  readonly config: ControlPlaneConfig
  readonly #database: FreshDatabase
  readonly #valkey: { url: string; stop(): Promise<void> }
  #controlPlane: ControlPlane | null = null
  url = ''
  key = ''

  private constructor(
    config: ControlPlaneConfig,
    database: FreshDatabase,
    valkey: { url: string; stop(): Promise<void> }
  ) {
    this.config = config
    this.#database = database
    this.#valkey = valkey
  }

  static async prepare(changes: Partial<ControlPlaneConfig> = {}): Promise<Stack> {
    const dataDir = await mkdtemp(path.join(os.tmpdir(), 'skerry-stack-'))
    const database = await freshDatabase()
    const valkey = await startTestValkey()
    const config: ControlPlaneConfig = {
      host: '127.0.0.1',
      port: 0,
      dataDir,
      databaseUrl: database.url,
      redisUrl: valkey.url,
      blobUrl: pathToFileURL(path.join(dataDir, 'blobs')).href,
      logLevel: process.env.SKERRY_TEST_LOG ?? 'silent',
      scheduling: {},
      ...changes
    }
    return new Stack(config, database, valkey)
  }

  static async start(changes: Partial<ControlPlaneConfig> = {}): Promise<Stack> {
    const stack = await Stack.prepare(changes)
    await stack.startControlPlane()
    return stack
  }

  async startControlPlane(): Promise<void> {
    this.#controlPlane = await startControlPlane(this.config, { migrationsDir })
    this.url = this.#controlPlane.url
    this.key = (await readFile(this.#controlPlane.adminKeyFile, 'utf8')).trim()
  }

  async stopControlPlane(): Promise<void> {
    await this.#controlPlane?.stop()
    this.#controlPlane = null
  }

  async stop(): Promise<void> {
    await this.stopControlPlane()
    await this.#valkey.stop()
    await this.#database.drop()
    await rm(this.config.dataDir, { recursive: true, force: true })
  }

  async call<T = Record<string, unknown>>(
    method: string,
    route: string,
    body?: unknown,
    headers: Record<string, string> = {}
  ): Promise<Answer<T>> {
    const raw = body instanceof Uint8Array || typeof body === 'string'
    const response = await fetch(`${this.url}/api/v1${route}`, {
      method,
      headers: {
        authorization: `Bearer ${this.key}`,
        ...(body === undefined || raw ? {} : { 'content-type': 'application/json' }),
        ...headers
      },
      ...(body === undefined ? {} : { body: raw ? Buffer.from(body) : JSON.stringify(body) })
    })
    const text = await response.text()
    const parsed =
      (response.headers.get('content-type') ?? '').includes('json') && !text.includes('\n') ? JSON.parse(text) : text
    return { status: response.status, headers: response.headers, body: parsed as T }
  }

  /** Like call, but any other status than 2xx is an error that says what came. */
  async must<T = Record<string, unknown>>(
    method: string,
    route: string,
    body?: unknown,
    headers?: Record<string, string>
  ): Promise<T> {
    const answer = await this.call<T>(method, route, body, headers)
    if (answer.status >= 300) throw new Error(`${method} ${route}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  async joinToken(capabilities: string[] = ['infer'], labels: Record<string, string> = {}): Promise<string> {
    const { token } = await this.must<{ token: string }>('POST', '/join-tokens', { capabilities, labels, uses: 100 })
    return token
  }

  /** The job once it ended; fails after `withinMs`. */
  async ended(id: string, withinMs = 20_000): Promise<Job> {
    const until = Date.now() + withinMs
    for (;;) {
      const job = await this.must<Job>('GET', `/jobs/${id}?waitMs=${Math.min(5_000, withinMs)}`)
      if (job.endedAt !== null) return job
      if (Date.now() > until) throw new Error(`job ${id} did not end: ${JSON.stringify(job)}`)
    }
  }
}

/** Resolves once `probe` answers something; polls, for what has no event to await. */
export async function eventually<T>(probe: () => Promise<T | null | undefined | false>, withinMs = 15_000): Promise<T> {
  const until = Date.now() + withinMs
  for (;;) {
    const found = await probe()
    if (found !== null && found !== undefined && found !== false) return found
    if (Date.now() > until) throw new Error(`not within ${withinMs} ms: ${probe}`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
