import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { ConversionError, type ConversionErrorCode } from './conversion-error.ts'

export type JsonEvent = { event: string } & Record<string, unknown>

export type JsonLinesOptions = {
  command: string
  args: readonly string[]
  /** The process's whole environment: it gets nothing of ours. */
  env: Record<string, string>
  cwd: string
  /** Written to stdin as one line; stdin stays open until `isLast`, so that the process sees when we are gone. */
  request?: unknown
  onEvent: (event: JsonEvent) => void
  /** The event after which the process is to end by itself. Default: none, it ends when it likes. */
  isLast?: (event: JsonEvent) => boolean
  onLog?: (line: string) => void
  /** Kills the process and everything it started. The reason becomes the error where it is a ConversionError. */
  signal?: AbortSignal
  /** What its failures are called. */
  codes: { unavailable: ConversionErrorCode; crashed: ConversionErrorCode }
  /** How messages name it, such as "The converter". */
  title: string
}

const lastLineCount = 20
const maxLineLength = 2000

/**
 * Runs a process that reports in JSON lines on stdout. Resolves when it ended with exit code 0.
 *
 * @throws ConversionError with the last lines of its stderr. Whatever `onEvent` throws ends the process too.
 */
export async function runJsonLines(options: JsonLinesOptions): Promise<void> {
  const { signal, title, codes } = options
  signal?.throwIfAborted()
  const lastLines: string[] = []
  const log = (line: string) => {
    const text = line.slice(0, maxLineLength)
    lastLines.push(text)
    if (lastLines.length > lastLineCount) lastLines.shift()
    options.onLog?.(text)
  }

  // A group of its own, which can be killed whole, and which Ctrl-C in a terminal does not reach before us.
  const child = spawn(options.command, options.args, {
    cwd: options.cwd,
    env: options.env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true
  })
  let failure: unknown
  const kill = (reason: unknown) => {
    failure ??= reason
    killGroup(child.pid)
  }
  const onAbort = () => kill(signal?.reason)
  signal?.addEventListener('abort', onAbort, { once: true })

  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.once('error', reject)
    // Whatever it started must not outlive it, nor keep the pipes open.
    child.once('exit', () => killGroup(child.pid))
    child.once('close', (code, killedBy) => resolve({ code, signal: killedBy }))
  })
  child.stdin.on('error', (error: NodeJS.ErrnoException) => {
    // A process that ended before it read its request: how it ended says more than the pipe does.
    if (error.code !== 'EPIPE') log(`stdin: ${error.message}`)
  })
  createInterface({ input: child.stderr }).on('line', log)
  createInterface({ input: child.stdout }).on('line', (line) => {
    const event = parseEvent(line)
    if (event === undefined) return log(line)
    if (failure !== undefined) return
    try {
      options.onEvent(event)
      if (options.isLast?.(event)) child.stdin.end()
    } catch (error) {
      kill(error)
    }
  })
  if (options.request === undefined) child.stdin.end()
  else child.stdin.write(`${JSON.stringify(options.request)}\n`)

  try {
    const exit = await ended
    if (failure !== undefined) throw withLastLines(failure, lastLines)
    if (exit.code === 0) return
    const how = exit.signal === null ? `ended with exit code ${exit.code}` : `was ended by ${exit.signal}`
    const words = lastLines.length === 0 ? '' : ` Its last words: ${lastLines.slice(-5).join(' | ')}`
    throw new ConversionError(codes.crashed, `${title} ${how}.${words}`, { lastLines })
  } catch (error) {
    if (error instanceof ConversionError || child.pid !== undefined) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new ConversionError(codes.unavailable, `${title} could not be started: ${reason}`, { cause: error })
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
}

function withLastLines(error: unknown, lastLines: readonly string[]): unknown {
  // Only what stopped it from outside is explained by what it was doing.
  if (!(error instanceof ConversionError) || error.code !== 'converter-timeout' || lastLines.length === 0) return error
  const message = `${error.message} Its last words: ${lastLines.slice(-5).join(' | ')}`
  return new ConversionError(error.code, message, { lastLines, cause: error })
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function parseEvent(line: string): JsonEvent | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const value = JSON.parse(line) as JsonEvent
    return typeof value.event === 'string' ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
