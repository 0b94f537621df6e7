import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { EmbeddedError } from './embedded-error.ts'
import { commandAs, giveTo, type OrdinaryUser, ordinaryUser } from './ordinary-user.ts'
import { type PostgresBinaries, postgresBinaries } from './postgres-binaries.ts'
import { type Log, launchOnFreePort, type Service, SYSTEM_PATH } from './service.ts'
import { ensurePassword } from './service-files.ts'
import { endOrphan, type ServiceKind } from './service-record.ts'

export type PostgresOptions = {
  /** Holds the cluster in `postgres/`, its log and its password; made when it is not there. */
  dir: string
  log?: Log
  /** For tests: nothing is flushed to disk, so a power cut (not a kill) loses the cluster. */
  throwaway?: boolean
}

const execFileAsync = promisify(execFile)

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '200',
  shared_buffers: '128MB',
  timezone: 'UTC',
  log_timezone: 'UTC'
}
const THROWAWAY_SETTINGS = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

// SIGINT is Postgres's fast shutdown, SIGQUIT its immediate one, which recovers from the log at the next start.
export const POSTGRES: ServiceKind = {
  name: 'Postgres',
  program: 'postgres',
  dataName: 'postgres',
  recordName: 'postgres.json',
  pidName: 'postmaster.pid',
  stopSignals: ['SIGINT', 'SIGQUIT', 'SIGKILL']
}

/** Starts the embedded Postgres on a free loopback port: UTF-8, locale C, data checksums, a password of its own. */
export async function startPostgres(options: PostgresOptions): Promise<Service> {
  const log = options.log ?? (() => undefined)
  const user = ordinaryUser()
  const binaries = await postgresBinaries()
  fs.mkdirSync(options.dir, { recursive: true })
  const dataDir = path.join(options.dir, POSTGRES.dataName)
  const recordFile = path.join(options.dir, POSTGRES.recordName)

  await endOrphan(options.dir, POSTGRES, log)
  const password = ensurePassword(path.join(options.dir, 'postgres.password'))
  if (!fs.existsSync(dataDir)) await createCluster(options, binaries, user, dataDir)
  giveTo(user, dataDir)
  // Its process is gone; Postgres would take any of this user's processes that now has its id for that one.
  fs.rmSync(path.join(dataDir, 'postmaster.pid'), { force: true })

  const settings = { ...SETTINGS, ...(options.throwaway ? THROWAWAY_SETTINGS : {}) }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  return launchOnFreePort((port) => {
    const url = `postgresql://skerry:${password}@127.0.0.1:${port}/postgres`
    return {
      name: POSTGRES.name,
      ...commandAs(user, binaries.postgres, ['-D', dataDir, '-p', String(port), ...flags]),
      cwd: dataDir,
      logFile: path.join(options.dir, 'postgres.log'),
      recordFile,
      stopSignals: POSTGRES.stopSignals,
      url,
      port,
      isReady: () => acceptsQueries(url)
    }
  })
}

// Made under another name and renamed, so that `postgres/` is a whole cluster whenever it is there.
async function createCluster(
  options: PostgresOptions,
  binaries: PostgresBinaries,
  user: OrdinaryUser | null,
  dataDir: string
): Promise<void> {
  for (const name of fs.readdirSync(options.dir)) {
    if (name.startsWith('postgres.new-')) fs.rmSync(path.join(options.dir, name), { recursive: true, force: true })
  }
  const newDir = path.join(options.dir, `postgres.new-${randomUUID()}`)
  fs.mkdirSync(newDir, { mode: 0o700 })
  giveTo(user, newDir)
  const passwordFile = path.join(options.dir, 'postgres.password')
  const initdbArgs = ['-D', newDir, '-U', 'skerry', '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
  const cluster = ['--encoding=UTF8', '--locale=C', ...(options.throwaway ? ['--no-sync'] : [])]
  const { command, args } = commandAs(user, binaries.initdb, [...initdbArgs, ...cluster])
  const env = { PATH: SYSTEM_PATH, LC_ALL: 'C', TZ: 'UTC' }
  try {
    await execFileAsync(command, args, { cwd: newDir, env })
  } catch (error) {
    fs.rmSync(newDir, { recursive: true, force: true })
    const said = error instanceof Error ? error.message : String(error)
    throw new EmbeddedError(
      'service-failed',
      `initdb could not make a cluster in ${dataDir}: ${said.trim().slice(-800)}`
    )
  }
  fs.renameSync(newDir, dataDir)
}

async function acceptsQueries(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('SELECT 1')
    return true
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    // Wrong password or no such database: waiting does not help.
    if (code === '28P01' || code === '28000' || code === '3D000') throw error
    return false
  } finally {
    await client.end().catch(() => undefined)
  }
}
