import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { type Service, startPostgres, startValkey } from '@skerry/embedded'

/** A control plane in a process of its own, on a Postgres that waits for its disk and a Valkey of its own. */
export class ControlPlaneProcess {
  readonly url: string
  readonly redisUrl: string
  readonly databaseUrl: string
  readonly key: string
  #process: ChildProcess
  readonly #start: () => Promise<ChildProcess>
  readonly #services: Service[]
  readonly #dir: string

  static async start(valkeyServer: string): Promise<ControlPlaneProcess> {
    const dir = mkdtempSync(join(tmpdir(), 'skerry-bench-'))
    const postgres = await startPostgres({ dir: join(dir, 'postgres') })
    const valkey = await startValkey({ dir: join(dir, 'valkey'), valkeyServer })
    const port = await freePort()
    const server = fileURLToPath(new URL('../../../apps/control-plane/dist/server.js', import.meta.url))
    const env = {
      SKERRY_HTTP_PORT: String(port),
      SKERRY_DATA_DIR: dir,
      SKERRY_DATABASE_URL: postgres.url,
      SKERRY_REDIS_URL: valkey.url,
      SKERRY_BLOB_URL: pathToFileURL(join(dir, 'blobs')).href,
      SKERRY_LOG_LEVEL: 'warn'
    }
    const url = `http://127.0.0.1:${port}`
    const begin = async (): Promise<ChildProcess> => {
      const child = spawn(process.execPath, [server], { stdio: ['ignore', 'ignore', 'inherit'], env })
      // Whatever ends this process must not leave it behind.
      process.once('exit', () => child.kill('SIGKILL'))
      await ready(url, child)
      return child
    }
    const child = await begin()
    const key = readFileSync(join(dir, 'admin.key'), 'utf8').trim()
    return new ControlPlaneProcess({ url, key, dir, child, start: begin, postgres, valkey })
  }

  private constructor(parts: {
    url: string
    key: string
    dir: string
    child: ChildProcess
    start: () => Promise<ChildProcess>
    postgres: Service
    valkey: Service
  }) {
    this.url = parts.url
    this.redisUrl = parts.valkey.url
    this.databaseUrl = parts.postgres.url
    this.key = parts.key
    this.#process = parts.child
    this.#start = parts.start
    this.#services = [parts.postgres, parts.valkey]
    this.#dir = parts.dir
  }

  /** Its own id while it runs: of the process, not of the services. */
  get pid(): number {
    return this.#process.pid ?? 0
  }

  /** Kills it, as a crash would, and starts it again on what is stored. */
  async restart(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.kill('SIGKILL')
    await ended
    this.#process = await this.#start()
  }

  /** The answer's text. @throws Error for anything but 2xx, with what came. */
  async call(method: string, route: string, body?: string | Uint8Array, type = 'application/json'): Promise<string> {
    const response = await fetch(`${this.url}/api/v1${route}`, {
      method,
      headers: { authorization: `Bearer ${this.key}`, ...(body === undefined ? {} : { 'content-type': type }) },
      ...(body === undefined ? {} : { body: Buffer.from(body) })
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${route}: ${response.status} ${text}`)
    return text
  }

  async json<T>(method: string, route: string, body?: unknown): Promise<T> {
    return JSON.parse(await this.call(method, route, body === undefined ? undefined : JSON.stringify(body))) as T
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit')
    this.#process.kill()
    await ended
    for (const service of this.#services) await service.stop()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  for (let tried = 0; tried < 300; tried++) {
    if (child.exitCode !== null) throw new Error(`the control plane ended with ${child.exitCode}`)
    const response = await fetch(`${url}/healthz`).catch(() => null)
    if (response?.ok === true) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('the control plane was not ready within half a minute')
}
