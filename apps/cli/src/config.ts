import { readFileSync } from 'node:fs'
import path from 'node:path'

export const repositoryRoot = path.resolve(import.meta.dirname, '../../..')

/** What set-up found on this machine, by absolute path. */
export type ToolPaths = { python: string; liteRtLibrary: string; liteRtVersion: string; valkeyServer: string }

export type CliConfig = {
  dataDir: string
  /** What the control plane of `up` listens on. */
  host: string
  port: number
  databaseUrl: string | undefined
  redisUrl: string | undefined
  /** The control plane that commands talk to, and the key they show it. */
  url: string
  key: string | undefined
  tools: ToolPaths | undefined
  /** The environment that services are started with. */
  environment: NodeJS.ProcessEnv
}

function readTools(env: NodeJS.ProcessEnv): ToolPaths | undefined {
  try {
    return JSON.parse(
      readFileSync(env.SKERRY_TOOLS ?? path.join(repositoryRoot, '.tools/paths.json'), 'utf8')
    ) as ToolPaths
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function readKey(env: NodeJS.ProcessEnv, dataDir: string): string | undefined {
  if (env.SKERRY_KEY !== undefined) return env.SKERRY_KEY
  try {
    return readFileSync(path.join(dataDir, 'admin.key'), 'utf8').trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

export function readConfig(env: NodeJS.ProcessEnv): CliConfig {
  const dataDir = path.resolve(env.SKERRY_DATA_DIR ?? '.skerry')
  const port = Number(env.SKERRY_HTTP_PORT ?? 8080)
  const host = env.SKERRY_HTTP_HOST ?? '127.0.0.1'
  return {
    dataDir,
    host,
    port,
    databaseUrl: env.SKERRY_DATABASE_URL,
    redisUrl: env.SKERRY_REDIS_URL,
    url: env.SKERRY_URL ?? localUrl(host, port),
    key: readKey(env, dataDir),
    tools: readTools(env),
    environment: env
  }
}

/** How this machine itself calls what listens there. */
export function localUrl(host: string, port: number): string {
  if (host === '0.0.0.0' || host === '::') return `http://127.0.0.1:${port}`
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
