import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import readline from 'node:readline'
import type { ControlPlaneConfig } from '@skerry/control-plane'

const server = path.resolve(import.meta.dirname, '../apps/control-plane/dist/server.js')

/** A control plane in a process of its own, which can be killed and paused. Its code is what `tsc -b` made. */
export class ReplicaProcess {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  static async start(config: ControlPlaneConfig): Promise<ReplicaProcess> {
    const child = spawn(process.execPath, [server], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        ...process.env,
        SKERRY_HTTP_PORT: '0',
        SKERRY_DATA_DIR: config.dataDir,
        SKERRY_DATABASE_URL: config.databaseUrl,
        SKERRY_REDIS_URL: config.redisUrl,
        SKERRY_BLOB_URL: config.blobUrl,
        SKERRY_LITERT_LIBRARIES: '',
        SKERRY_LOG_LEVEL: 'info'
      }
    })
    const lines = readline.createInterface({ input: child.stdout as NodeJS.ReadableStream })
    const url = await new Promise<string>((resolve, reject) => {
      lines.on('line', (line) => {
        if (process.env.SKERRY_TEST_LOG !== undefined) console.error(`${child.pid} ${line}`)
        const entry = JSON.parse(line) as { msg: string; url?: string }
        if (entry.msg === 'control plane ready' && entry.url !== undefined) resolve(entry.url)
      })
      child.once('exit', (code) => reject(new Error(`the control plane ended with ${code}`)))
    })
    return new ReplicaProcess(child, url)
  }

  /** As a process that is out of memory or whose machine stalls. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(name)
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    this.#child.kill(signal)
    await gone
  }
}
