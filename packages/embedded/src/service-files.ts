import { randomBytes } from 'node:crypto'
import fs from 'node:fs'

/** A service's password, made once and readable by its owner only. */
export function ensurePassword(file: string): string {
  if (!fs.existsSync(file)) fs.writeFileSync(file, randomBytes(18).toString('hex'), { mode: 0o600 })
  return fs.readFileSync(file, 'utf8').trim()
}

/** The process id on the first line of a pid file; null without one. */
export function pidIn(pidFile: string): number | null {
  if (!fs.existsSync(pidFile)) return null
  const pid = Number.parseInt(fs.readFileSync(pidFile, 'utf8'), 10)
  return Number.isInteger(pid) ? pid : null
}
