import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { ConversionError, type ConversionErrorCode } from './conversion-error.ts'

export type JsonEvent = { event: string } & Record<string, unknown>

export type JsonLinesOptions = {
  command: string
  args: readonly string[]
  /** The process's whole environment: it gets nothing of ours. */
  env: Record<string, string>
  cwd: string
  onEvent: (event: JsonEvent) => void
  onLog?: (line: string) => void
  /** Kills the process and everything it started. The reason becomes the error where it is a ConversionError. */
  signal?: AbortSignal
  /** What its failures are called. */
  codes: { unavailable: ConversionErrorCode; crashed: ConversionErrorCode }
  /** How messages name it, such as "The converter". */
  title: string
}

const maxLineLength = 2000

/**
 * Runs a process that reports in JSON lines on stdout. Resolves when it ended with exit code 0.
 *
 * @throws ConversionError with the last lines of its stderr. Whatever `onEvent` throws ends the process too.
 */
export async function runJsonLines(options: JsonLinesOptions): Promise<void> {
  const { signal, title, codes } = options
  signal?.throwIfAborted()
  const lastLines = new LastLines()
  const log = (line: string) => {
    const text = lastLines.add(line)
    options.onLog?.(text)
  }

  // A group of its own, which can be killed whole, and which Ctrl-C in a terminal does not reach before us.
  const child = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true
  })
  let failure: unknown
  const kill = (reason: unknown) => {
    failure ??= reason
    killGroup(child.pid)
  }
  const onAbort = () => kill(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })

  const ended = endOf(child)
  createInterface({ input: child.stderr }).on('line', log)
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = parseEvent(line)
    if (event === undefined) return log(line)
    if (failure !== undefined) return
    try {
      options.onEvent(event)
    } catch (error) {
      kill(error)
    }
  })

  try {
    const { code, signal: killedBy } = await ended
    if (failure !== undefined) throw lastLines.explain(failure)
    if (code !== 0) throw lastLines.crash(codes.crashed, title, howEnded(code, killedBy))
  } catch (error) {
    if (error instanceof ConversionError || child.pid !== undefined) throw error
    throw notStarted(codes.unavailable, title, error)
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

export type Exit = { code: number | null; signal: string | null }

/** Resolves when a process is gone and all that it wrote was read; rejects when it could not be started. */
export function endOf(child: ChildProcess): Promise<Exit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    // Whatever it started must not outlive it, nor keep the pipes open.
    child.once('exit', () => killGroup(child.pid))
    child.once('close', (code, killedBy) => resolve({ code, signal: killedBy }))
  })
}

export const howEnded = (code: number | null, signal: string | null): string => signal ?? `exit code ${code}`

export function notStarted(code: ConversionErrorCode, title: string, cause: unknown): ConversionError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new ConversionError(code, `${title} could not be started: ${reason}`, { cause })
}

export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

export function parseEvent(line: string): JsonEvent | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value = JSON.parse(line) as JsonEvent
    return typeof value.event === 'string' ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

/** What a process said last, for whoever has to explain its end. */
export class LastLines {
  static readonly count = 20
  readonly #lines: string[] = []

  /** Returns the line as it is kept. */
  add(line: string): string {
    const text = line.slice(0, maxLineLength)
    this.#lines.push(text)
    if (this.#lines.length > LastLines.count) this.#lines.shift()
    return text
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0
  }

  /** `how`: a signal's name or an exit code, in words. */
  crash(code: ConversionErrorCode, title: string, how: string, before = ''): ConversionError {
    const ended = how.startsWith('SIG') ? `was ended by ${how}` : `ended with ${how}`
    return new ConversionError(code, `${before}${title} ${ended}.${this.#words()}`, { lastLines: this.#lines })
  }

  /** Adds them to what stopped a process from outside, which is explained by what it was doing. */
  explain(error: unknown): unknown {
    const explains = error instanceof ConversionError && error.code === 'converter-timeout'
    if (!explains || error.lastLines.length > 0 || this.isEmpty) return error
    return new ConversionError(error.code, `${error.message}${this.#words()}`, { lastLines: this.#lines, cause: error })
  }

  #words(): string {
    return this.isEmpty ? '' : ` Its last words: ${this.#lines.slice(-5).join(' | ')}`
  }
}
