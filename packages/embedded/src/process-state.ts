import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { EmbeddedError, errorCode } from './embedded-error.ts'

/** Which run of a process id is meant: an id is used again, an id with its start time is not. */
export type ProcessRun = { pid: number; startedAt: string }

/** Null when there is no such process, or only a zombie of it (without an init, orphans stay zombies for ever). */
export function processRun(pid: number): ProcessRun | null {
  if (!Number.isInteger(pid) || pid <= 0) return null
  const startedAt = process.platform === 'linux' ? linuxStart(pid) : psStart(pid)
  return startedAt === null ? null : { pid, startedAt }
}

export function isRunning(run: ProcessRun): boolean {
  return processRun(run.pid)?.startedAt === run.startedAt
}

/** The ids of a program's processes that work in a directory: how a service is told from a stranger with its old id. */
export function processesIn(directory: string, program: string): number[] {
  if (!fs.existsSync(directory)) return []
  const real = fs.realpathSync(directory)
  if (process.platform === 'linux') {
    const pids = fs.readdirSync('/proc').map(Number).filter(Number.isInteger)
    return pids.filter(
      (pid) => linuxProgram(pid) === program && linuxDirectory(pid) === real && processRun(pid) !== null
    )
  }
  // One line each: p and the id, then n and the directory.
  const answer = spawnSync('lsof', ['-a', '-c', program, '-d', 'cwd', '-Fpn'], { encoding: 'utf8' }).stdout ?? ''
  return [...answer.matchAll(/^p(\d+)\n(?:f.*\n)?n(.*)$/gm)]
    .filter((match) => match[2] === real)
    .map((match) => Number(match[1]))
}

/** Sends the signals one after the other until the process has ended, giving it `graceMs` for each. */
export async function endProcess(pid: number, signals: NodeJS.Signals[], graceMs: number): Promise<void> {
  const run = processRun(pid)
  for (const signal of run === null ? [] : signals) {
    send(pid, signal)
    const deadlineMs = performance.now() + graceMs
    while (performance.now() < deadlineMs) {
      if (run === null || !isRunning(run)) return
      await delay(20)
    }
  }
  if (run !== null && isRunning(run)) throw new EmbeddedError('service-failed', `process ${pid} does not end`)
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error
  }
}

// Fields of /proc/PID/stat after the name, which may itself hold spaces and parentheses: state first, start time 20th.
function linuxStart(pid: number): string | null {
  const stat = unlessGone(() => fs.readFileSync(`/proc/${pid}/stat`, 'utf8'))
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? []
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null)
}

function psStart(pid: number): string | null {
  const answer = spawnSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], { encoding: 'utf8' }).stdout?.trim() ?? ''
  return answer === '' || answer.startsWith('Z') ? null : answer.slice(answer.indexOf(' ')).trim()
}

function linuxProgram(pid: number): string | null {
  return unlessGone(() => fs.readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd())
}

function linuxDirectory(pid: number): string | null {
  return unlessGone(() => fs.readlinkSync(`/proc/${pid}/cwd`))
}

function unlessGone<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(errorCode(error) ?? '')) return null
    throw error
  }
}
