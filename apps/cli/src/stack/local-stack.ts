import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import type { Capability, Device, JoinToken } from '@skerry/contracts'
import { type Service, startPostgres, startValkey } from '@skerry/embedded'
import { ApiClient } from '../api-client.ts'
import { CliError } from '../cli-error.ts'
import { type CliConfig, localUrl, repositoryRoot, type ToolPaths } from '../config.ts'
import { NodeProcess } from './node-process.ts'

export type LocalAgent = { name: string; runtime: string; capabilities: Capability[] }

/** Three honestly different devices on one machine: two runtimes, and one of them converts as well. */
export const LOCAL_AGENTS: readonly LocalAgent[] = [
  { name: 'edge-litert', runtime: 'litert', capabilities: ['infer'] },
  { name: 'edge-wasm', runtime: 'tfjs-tflite', capabilities: ['infer'] },
  { name: 'edge-converter', runtime: 'litert', capabilities: ['infer', 'convert'] }
]

type Say = (line: string) => void

/** Everything on this machine: embedded Postgres and Valkey where no URL names others, the control plane, agents. */
export class LocalStack {
  readonly #config: CliConfig
  readonly #tools: ToolPaths
  readonly #logDir: string
  readonly #services: Service[] = []
  readonly #processes: NodeProcess[] = []
  #databaseUrl: string | undefined
  #redisUrl: string | undefined

  constructor(config: CliConfig) {
    if (config.tools === undefined) throw new CliError('Set-up has not run: npm run setup')
    this.#config = config
    this.#tools = config.tools
    this.#logDir = path.join(config.dataDir, 'logs')
  }

  get url(): string {
    return localUrl(this.#config.host, this.#config.port)
  }

  async startServices(say: Say): Promise<void> {
    await this.#checkPort()
    mkdirSync(this.#config.dataDir, { recursive: true, mode: 0o755 })
    const dir = this.#config.dataDir
    const postgres = async () => {
      if (this.#config.databaseUrl !== undefined) return this.#config.databaseUrl
      const service = await startPostgres({ dir, log: say })
      this.#services.push(service)
      return service.url
    }
    const valkey = async () => {
      if (this.#config.redisUrl !== undefined) return this.#config.redisUrl
      const service = await startValkey({ dir, valkeyServer: this.#tools.valkeyServer, log: say })
      this.#services.push(service)
      return service.url
    }
    const [database, redis] = await Promise.allSettled([postgres(), valkey()])
    if (database.status === 'rejected') throw database.reason
    if (redis.status === 'rejected') throw redis.reason
    this.#databaseUrl = database.value
    this.#redisUrl = redis.value
  }

  async #checkPort(): Promise<void> {
    const { host, port } = this.#config
    await new Promise<void>((resolve, reject) => {
      const probe = net.createServer()
      probe.once('error', (cause: NodeJS.ErrnoException) => {
        const inUse = `Port ${port} is in use: end what uses it, or set SKERRY_HTTP_PORT to another`
        const message = cause.code === 'EADDRINUSE' ? inUse : `Nothing can listen on ${host}:${port}: ${cause.message}`
        reject(new CliError(message, { cause }))
      })
      probe.listen(port, host, () => probe.close(() => resolve()))
    })
  }

  async startControlPlane(): Promise<ApiClient> {
    const { environment, dataDir, port } = this.#config
    const env = {
      ...environment,
      SKERRY_DATA_DIR: dataDir,
      SKERRY_HTTP_PORT: String(port),
      SKERRY_DATABASE_URL: this.#databaseUrl,
      SKERRY_REDIS_URL: this.#redisUrl
    }
    const script = path.join(repositoryRoot, 'apps/control-plane/dist/server.js')
    const controlPlane = new NodeProcess({ name: 'control-plane', script, args: [], env, logDir: this.#logDir })
    this.#processes.push(controlPlane)
    await this.#orFailed(controlPlane, () => answers(`${this.url}/healthz`))
    return new ApiClient(this.url, readFileSync(path.join(dataDir, 'admin.key'), 'utf8').trim())
  }

  async startAgents(client: ApiClient): Promise<Device[]> {
    for (const agent of LOCAL_AGENTS) await this.#startAgent(client, agent)
    const devices: Device[] = []
    for (const { name } of LOCAL_AGENTS) {
      const process = this.#processes.find((entry) => entry.name === name)
      const online = async () => (await client.get<Device>(`/devices/${name}`).catch(() => null))?.state === 'online'
      if (process !== undefined) await this.#orFailed(process, online)
      devices.push(await client.get<Device>(`/devices/${name}`))
    }
    return devices
  }

  async #startAgent(client: ApiClient, agent: LocalAgent): Promise<void> {
    const dataDir = path.join(this.#config.dataDir, 'agents', agent.name)
    // An identity that this database does not know (it was made anew) can never connect again.
    const known = await client.get<Device>(`/devices/${agent.name}`).catch(() => null)
    if (known === null && existsSync(dataDir)) rmSync(dataDir, { recursive: true })
    const token =
      known === null ? await client.post<JoinToken>('/join-tokens', { capabilities: agent.capabilities }) : null
    const args = ['agent', 'join', this.url, '--name', agent.name, '--runtime', agent.runtime, '--data-dir', dataDir]
    args.push('--capability', agent.capabilities.join(','), '--label', 'site=local')
    if (token !== null) args.push('--token', token.token)
    const script = path.join(repositoryRoot, 'apps/cli/dist/main.js')
    const env = this.#config.environment
    this.#processes.push(new NodeProcess({ name: agent.name, script, args, env, logDir: this.#logDir }))
  }

  async #orFailed(process: NodeProcess, probe: () => Promise<boolean>): Promise<void> {
    let failure: CliError | null = null
    void process.failed().then((error) => {
      failure = error
    })
    const until = Date.now() + 60_000
    while (!(await probe())) {
      if (failure !== null) throw failure
      if (Date.now() > until)
        throw new CliError(
          `${process.name} is not ready after 60 s; its log ${process.logFile}:\n${process.lastLines(6)}`
        )
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** Resolves when a part of the stack ends without having been asked to. */
  failed(): Promise<CliError> {
    return Promise.race(this.#processes.map((process) => process.failed()))
  }

  /** Agents first, so that they hand back their work; the stores last. */
  async stop(): Promise<void> {
    const [controlPlane, ...agents] = this.#processes
    await Promise.all(agents.map((agent) => agent.stop()))
    await controlPlane?.stop()
    await Promise.all(this.#services.map((service) => service.stop()))
  }
}

async function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    (response) => response.ok,
    () => false
  )
}
