import { readFileSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import type { EngineOptions } from '@skerry/engine'
import { type ScoreWeights, weightsFrom } from '@skerry/scheduler'

export type LibraryFile = { version: string; path: string }

export type ControlPlaneConfig = {
  host: string
  port: number
  /** Where devices reach it, where that is not what it is bound to: behind a proxy, say. */
  publicUrl?: string
  dataDir: string
  databaseUrl: string
  redisUrl: string
  blobUrl: string
  logLevel: string
  scheduling: EngineOptions
  /** LiteRT's libraries that devices may fetch, one for each architecture. */
  liteRtLibraries?: LibraryFile[]
}

/** Reads the environment; throws a plain sentence when something that has no default is missing. */
export function readConfig(env: NodeJS.ProcessEnv): ControlPlaneConfig {
  const need = (name: string): string => {
    const value = env[name]
    if (value === undefined || value === '')
      throw new Error(`${name} is not set; \`npm start\` starts what it names by itself`)
    return value
  }
  const port = Number(env.SKERRY_HTTP_PORT ?? 8080)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new Error(`SKERRY_HTTP_PORT is a port number, not ${env.SKERRY_HTTP_PORT}`)
  const dataDir = path.resolve(env.SKERRY_DATA_DIR ?? '.skerry')
  return {
    host: env.SKERRY_HTTP_HOST ?? '127.0.0.1',
    port,
    ...(env.SKERRY_PUBLIC_URL === undefined ? {} : { publicUrl: publicUrlOf(env.SKERRY_PUBLIC_URL) }),
    dataDir,
    databaseUrl: need('SKERRY_DATABASE_URL'),
    redisUrl: need('SKERRY_REDIS_URL'),
    blobUrl: env.SKERRY_BLOB_URL ?? pathToFileURL(path.join(dataDir, 'blobs')).href,
    logLevel: env.SKERRY_LOG_LEVEL ?? 'info',
    scheduling: {
      ...(env.SKERRY_MAX_QUEUED === undefined ? {} : { maxQueued: count('SKERRY_MAX_QUEUED', env.SKERRY_MAX_QUEUED) }),
      ...(env.SKERRY_SCORE_WEIGHTS === undefined ? {} : { weights: scoreWeights(env.SKERRY_SCORE_WEIGHTS) })
    },
    liteRtLibraries: liteRtLibraries(env)
  }
}

function count(name: string, text: string): number {
  const value = Number(text)
  if (Number.isInteger(value) && value > 0) return value
  throw new Error(`${name} is a whole number above 0, not ${text}`)
}

/** `device.energy=0.2,work.fairness=1`: what differs from the defaults. */
function scoreWeights(text: string): ScoreWeights {
  const changes = { device: {} as Record<string, number>, work: {} as Record<string, number> }
  for (const part of text.split(',').filter(Boolean)) {
    const [, choice, name, weight] = /^\s*(device|work)\.([a-z-]+)=([0-9.]+)\s*$/.exec(part) ?? []
    if (choice === undefined || name === undefined)
      throw new Error(`SKERRY_SCORE_WEIGHTS is a list such as device.energy=0.2,work.fairness=1, not ${text}`)
    changes[choice as keyof typeof changes][name] = Number(weight)
  }
  try {
    return weightsFrom(changes)
  } catch (error) {
    throw new Error(`SKERRY_SCORE_WEIGHTS: ${(error as Error).message}`)
  }
}

function publicUrlOf(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url.href.replace(/\/$/, '')
  throw new Error(`SKERRY_PUBLIC_URL is an address such as https://skerry.example, not ${text}`)
}

/** Those that are named; where none are, the one that set-up installed for this machine. */
function liteRtLibraries(env: NodeJS.ProcessEnv): LibraryFile[] {
  const named = env.SKERRY_LITERT_LIBRARIES
  if (named !== undefined) return named.split(',').filter(Boolean).map(libraryFile)
  const file = env.SKERRY_TOOLS ?? path.resolve(import.meta.dirname, '../../../.tools/paths.json')
  try {
    const tools = JSON.parse(readFileSync(file, 'utf8')) as { liteRtLibrary: string; liteRtVersion: string }
    return [{ version: tools.liteRtVersion, path: tools.liteRtLibrary }]
  } catch (error) {
    // A control plane may run where no set-up was.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function libraryFile(text: string): LibraryFile {
  const [, version, file] = /^([^=]+)=(.+)$/.exec(text) ?? []
  if (version !== undefined && file !== undefined) return { version, path: path.resolve(file) }
  throw new Error(`SKERRY_LITERT_LIBRARIES is a list of VERSION=PATH with commas in between, not ${text}`)
}
