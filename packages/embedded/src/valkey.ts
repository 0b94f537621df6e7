import fs from 'node:fs'
import path from 'node:path'
import { EmbeddedError } from './embedded-error.ts'
import { giveTo } from './ordinary-user.ts'
import { answersPing } from './resp-ping.ts'
import { type Log, launchOnFreePort, type Service } from './service.ts'
import { ensurePassword } from './service-files.ts'
import { endOrphan, type ServiceKind } from './service-record.ts'

export type ValkeyOptions = {
  /** Holds the append-only file in `valkey/`, the log and the password; made when it is not there. */
  dir: string
  /** The server program, as set-up found it. */
  valkeyServer: string
  log?: Log
}

export const VALKEY: ServiceKind = {
  name: 'Valkey',
  program: 'valkey-server',
  dataName: 'valkey',
  recordName: 'valkey.json',
  pidName: 'valkey.pid',
  stopSignals: ['SIGTERM', 'SIGKILL']
}

/** Starts Valkey on a free loopback port: append-only file synced every second, and never an eviction. */
export async function startValkey(options: ValkeyOptions): Promise<Service> {
  const log = options.log ?? (() => undefined)
  if (!fs.existsSync(options.valkeyServer)) {
    throw new EmbeddedError(
      'tool-missing',
      `there is no Valkey at ${options.valkeyServer}: run npm run setup, or set SKERRY_REDIS_URL to one of yours`
    )
  }
  const dataDir = path.join(options.dir, VALKEY.dataName)
  const recordFile = path.join(options.dir, VALKEY.recordName)
  fs.mkdirSync(dataDir, { recursive: true, mode: 0o700 })
  await endOrphan(options.dir, VALKEY, log)
  if (process.getuid?.() !== 0) giveTo(null, dataDir)
  const password = ensurePassword(path.join(options.dir, 'valkey.password'))

  return launchOnFreePort((port) => {
    // A file of settings rather than arguments: every user of the machine can read another's arguments.
    fs.writeFileSync(path.join(dataDir, 'valkey.conf'), configuration(port, password), { mode: 0o600 })
    return {
      name: VALKEY.name,
      command: options.valkeyServer,
      args: ['valkey.conf'],
      cwd: dataDir,
      logFile: path.join(options.dir, 'valkey.log'),
      recordFile,
      stopSignals: VALKEY.stopSignals,
      url: `redis://:${password}@127.0.0.1:${port}`,
      port,
      isReady: () => answersPing(port, password)
    }
  })
}

// Relative names: the server works in its data directory, whose path may hold anything.
function configuration(port: number, password: string): string {
  const lines = [
    'bind 127.0.0.1',
    `port ${port}`,
    `requirepass ${password}`,
    'dir .',
    'pidfile valkey.pid',
    'appendonly yes',
    'appendfsync everysec',
    'save ""',
    'maxmemory-policy noeviction',
    'daemonize no'
  ]
  return `${lines.join('\n')}\n`
}
