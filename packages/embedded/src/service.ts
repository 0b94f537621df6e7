import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { EmbeddedError } from './embedded-error.ts'
import { endProcess } from './process-state.ts'
import { writeRecord } from './service-record.ts'

export type Log = (line: string) => void

/** How a service ended: one of both is set. */
export type ServiceExit = { exitCode: number | null; signal: NodeJS.Signals | null }

export type Service = {
  url: string
  pid: number
  port: number
  /** Resolves when the service has ended, asked for or not. */
  exited: Promise<ServiceExit>
  /** The orderly end; harmless when it has ended already. */
  stop(): Promise<void>
}

/** Programs of the system are looked for here, whatever the environment says. */
export const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

const READY_WITHIN_MS = 120_000
const STOP_GRACE_MS = 20_000
const LOG_ROTATE_BYTES = 5_000_000
const PORT_ATTEMPTS = 5

export type Launch = {
  name: string
  command: string
  args: string[]
  cwd: string
  logFile: string
  recordFile: string
  /** Gentle first; the last must be one that always ends it. */
  stopSignals: NodeJS.Signals[]
  url: string
  port: number
  isReady: () => Promise<boolean>
}

/**
 * Starts a service on a free port and waits until it answers. A port is free only at the moment of looking, so a
 * service that found it taken is started again on another.
 */
export async function launchOnFreePort(launchFor: (port: number) => Launch): Promise<Service> {
  for (let attempt = 1; ; attempt += 1) {
    const launched = launchFor(await freePort())
    try {
      return await launch(launched)
    } catch (error) {
      if (attempt === PORT_ATTEMPTS || !/address already in use/i.test(String(error))) throw error
    }
  }
}

async function launch(options: Launch): Promise<Service> {
  rotate(options.logFile)
  const log = fs.openSync(options.logFile, 'a', 0o600)
  // Detached, so that Ctrl-C in a terminal reaches only the process that stops the services in order.
  const child = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: { PATH: SYSTEM_PATH, LC_ALL: 'C', TZ: 'UTC' },
    detached: true,
    stdio: ['ignore', log, log]
  })
  fs.closeSync(log)
  const exited = exitOf(child)
  const pid = child.pid
  if (pid === undefined) throw await failure(options, exited)
  writeRecord(options.recordFile, pid)
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) await endProcess(pid, options.stopSignals, STOP_GRACE_MS)
    await exited
    fs.rmSync(options.recordFile, { force: true })
  }
  try {
    await untilReady(options, exited)
  } catch (error) {
    await stop()
    throw error
  }
  return { url: options.url, pid, port: options.port, exited, stop }
}

async function untilReady(options: Launch, exited: Promise<ServiceExit>): Promise<void> {
  const deadlineMs = performance.now() + READY_WITHIN_MS
  let ended = false
  void exited.then(() => {
    ended = true
  })
  while (!(await options.isReady())) {
    if (ended) throw await failure(options, exited)
    if (performance.now() > deadlineMs) {
      throw new EmbeddedError('service-failed', `${options.name} did not answer in time: ${logTail(options.logFile)}`)
    }
    await Promise.race([exited, delay(20)])
  }
}

async function failure(options: Launch, exited: Promise<ServiceExit>): Promise<EmbeddedError> {
  const { exitCode, signal } = await exited
  const how = signal === null ? `exit code ${exitCode}` : signal
  return new EmbeddedError('service-failed', `${options.name} ended (${how}): ${logTail(options.logFile)}`)
}

function exitOf(child: ChildProcess): Promise<ServiceExit> {
  return new Promise((resolve) => {
    child.once('exit', (exitCode, signal) => resolve({ exitCode, signal }))
    child.once('error', () => resolve({ exitCode: 127, signal: null }))
  })
}

function logTail(file: string): string {
  return fs.readFileSync(file, 'utf8').trimEnd().slice(-800)
}

function rotate(file: string): void {
  if ((fs.statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_ROTATE_BYTES) fs.renameSync(file, `${file}.old`)
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}
