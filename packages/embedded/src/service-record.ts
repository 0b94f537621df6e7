import fs from 'node:fs'
import path from 'node:path'
import { EmbeddedError } from './embedded-error.ts'
import { endProcess, isRunning, type ProcessRun, processesIn, processRun } from './process-state.ts'
import { pidIn } from './service-files.ts'

const END_GRACE_MS = 20_000

/** The names and habits by which a service's data and processes are known. */
export type ServiceKind = {
  name: string
  /** Its processes' program, as the system lists them. */
  program: string
  dataName: string
  recordName: string
  pidName: string
  /** Gentle first; the last must be one that always ends it. */
  stopSignals: NodeJS.Signals[]
}

/** Beside a service's data: which process serves it and which one started that, so that an orphan can be told. */
type ServiceRecord = { service: ProcessRun; owner: ProcessRun }

export function writeRecord(file: string, servicePid: number): void {
  const service = processRun(servicePid)
  const owner = processRun(process.pid)
  if (service === null || owner === null) return
  fs.writeFileSync(file, JSON.stringify({ service, owner } satisfies ServiceRecord))
}

/**
 * Makes a service's data directory free: ends a service whose owner was killed, and refuses when the owner still
 * lives. What outlives the main process (a Postgres backend in a long query, after the main process was killed) is
 * ended by all but the gentlest signal.
 */
export async function endOrphan(dir: string, kind: ServiceKind, log: (line: string) => void): Promise<void> {
  const dataDir = path.join(dir, kind.dataName)
  const recordFile = path.join(dir, kind.recordName)
  const record = readRecord(recordFile)
  if (record !== null && isRunning(record.service) && isRunning(record.owner)) {
    const message = `${dataDir} is in use: process ${record.owner.pid} runs ${kind.name} on it. Stop that first, or use another data directory`
    throw new EmbeddedError('data-dir-in-use', message)
  }
  const mainPid = pidIn(path.join(dataDir, kind.pidName))
  for (const pid of processesIn(dataDir, kind.program)) {
    if (pid !== mainPid && pid !== record?.service.pid) continue
    log(`ending ${kind.name} ${pid}, left behind by a killed process`)
    await endProcess(pid, kind.stopSignals, END_GRACE_MS)
  }
  const left = processesIn(dataDir, kind.program)
  await Promise.all(left.map((pid) => endProcess(pid, kind.stopSignals.slice(1), END_GRACE_MS)))
  fs.rmSync(recordFile, { force: true })
}

/** Whether the directory holds a service, running or not, whose owner is gone without having stopped it. */
export function isLeftBehind(dir: string, kind: ServiceKind): boolean {
  const record = readRecord(path.join(dir, kind.recordName))
  return record !== null && !isRunning(record.owner)
}

function readRecord(file: string): ServiceRecord | null {
  if (!fs.existsSync(file)) return null
  try {
    const record = JSON.parse(fs.readFileSync(file, 'utf8')) as Partial<ServiceRecord>
    return record.service && record.owner ? { service: record.service, owner: record.owner } : null
  } catch (error) {
    // A record cut short by a power cut: no process of before the cut is left either.
    if (error instanceof SyntaxError) return null
    throw error
  }
}
