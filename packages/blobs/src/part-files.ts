import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileSystemCode } from './blob-error.ts'

// Tells this process's part files from those of an earlier process with the same id (in a container it is always 1).
const processRun = randomUUID()

/** A part file's name says who writes it, so that a later process knows whether anyone still does. */
export function partFileName(): string {
  return [encodeURIComponent(os.hostname()), process.pid, processRun, randomUUID()].join('_')
}

/**
 * Removes part files that a writer on this machine left behind when it was killed, and those of other machines that
 * nobody has written to for `maxIdleMs`. What another live process is writing stays.
 */
export function removeStalePartFiles(directory: string, nowMs: number, maxIdleMs = 24 * 3_600_000): void {
  for (const name of fs.readdirSync(directory)) {
    const file = path.join(directory, name)
    if (isStale(name, file, nowMs - maxIdleMs)) fs.rmSync(file, { force: true })
  }
}

function isStale(name: string, file: string, idleSinceMs: number): boolean {
  const [host, pid, run] = name.split('_')
  if (run === processRun) return false
  if (host === encodeURIComponent(os.hostname()) && (Number(pid) === process.pid || !isRunning(Number(pid))))
    return true
  const stat = fs.statSync(file, { throwIfNoEntry: false })
  return stat !== undefined && stat.mtimeMs < idleSinceMs
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return fileSystemCode(error) === 'EPERM'
  }
}
