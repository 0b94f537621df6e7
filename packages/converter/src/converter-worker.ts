import path from 'node:path'
import { ConversionError, type ConversionErrorCode, conversionErrorCodes } from './conversion-error.ts'
import { type ConverterLimits, defaultLimits } from './converter-limits.ts'
import { type JsonEvent, LastLines } from './json-lines-process.ts'
import { withResolvers } from './with-resolvers.ts'
import { ZygoteProcess } from './zygote-process.ts'

/**
 * Read by the handler of this kind (HANDLERS in python/skerry_converter/job.py). Only the files and folders that are
 * named in fields ending in `Path` can be read, only `workDir` can be written.
 */
export type WorkerRequest = { kind: string; workDir: string; [field: string]: unknown }

export type RunOptions = {
  /** In the request's `workDir`. */
  temporaryFolder: string
  /** Kills the request's process with all that it started. */
  signal: AbortSignal
  /** What it throws ends the request too. */
  onEvent: (event: JsonEvent) => void
  onLog?: (line: string) => void
  limits?: Partial<ConverterLimits>
}

export type ConverterWorkerOptions = {
  /** Python executable of an environment with TensorFlow. */
  python: string
  limits?: Partial<ConverterLimits>
  /** Lines that belong to no request. */
  onLog?: (line: string) => void
}

type Run = { onEvent: (event: JsonEvent) => void }

// The process answers in milliseconds; this is for one that hangs.
const cancelGraceMs = 2000

/**
 * One warm Python process for many requests, any number of them at a time: it is started by the first, which waits for
 * TensorFlow's import (seconds), and again after it died. Each request runs in a process of its own, forked from it and
 * isolated (python/skerry_converter/zygote.py, sandbox.py).
 */
export class ConverterWorker {
  readonly #options: ConverterWorkerOptions
  readonly #runs = new Map<number, Run>()
  #zygote: ZygoteProcess | undefined
  #stopped: Promise<void> | undefined
  #lastId = 0

  constructor(options: ConverterWorkerOptions) {
    this.#options = options
  }

  /** Starts the process, which otherwise the first request does. @throws ConversionError */
  async start(): Promise<void> {
    const zygote = this.#process()
    zygote.hold()
    await zygote.ready.finally(() => zygote.release())
  }

  /**
   * Runs one request. When this settles, the request's process is gone.
   *
   * @throws ConversionError: the handler's own, `converter-crashed`, the limit that it met, or `converter-unavailable`;
   * the signal's reason; what `onEvent` threw.
   */
  async run(request: WorkerRequest, options: RunOptions): Promise<void> {
    const { signal } = options
    signal.throwIfAborted()
    const zygote = this.#process()
    zygote.hold()
    try {
      await untilAborted(zygote.ready, signal)
      await this.#runIn(zygote, request, options)
    } catch (error) {
      throw zygote.lastLines.explain(error)
    } finally {
      zygote.release()
    }
  }

  /** Ends the process with everything that it is at. The next request starts another. */
  async stop(): Promise<void> {
    if (this.#zygote !== undefined) this.#stopped = this.#zygote.stop()
    this.#zygote = undefined
    await this.#stopped
  }

  #process(): ZygoteProcess {
    if (this.#zygote !== undefined) return this.#zygote
    const { python, onLog } = this.#options
    const zygote = new ZygoteProcess(python, (event) => this.#runs.get(Number(event.id))?.onEvent(event), onLog)
    this.#zygote = zygote
    void zygote.ended.then(() => {
      if (this.#zygote === zygote) this.#zygote = undefined
    })
    return zygote
  }

  async #runIn(zygote: ZygoteProcess, request: WorkerRequest, options: RunOptions): Promise<void> {
    const { signal, onEvent, onLog } = options
    const id = ++this.#lastId
    const lastLines = new LastLines()
    let stopped: { reason: unknown } | undefined
    let hanging: NodeJS.Timeout | undefined
    const stop = (reason: unknown) => {
      if (stopped !== undefined) return
      stopped = { reason }
      zygote.send({ cancel: id })
      hanging = setTimeout(() => zygote.kill(), cancelGraceMs)
    }
    const onAbort = () => stop(signal.reason)
    const last = new Promise<JsonEvent>((resolve) => {
      const passOn = (event: JsonEvent) => {
        if (event.event !== 'log') return onEvent(event)
        const line = lastLines.add(String(event.line))
        onLog?.(line)
      }
      this.#runs.set(id, {
        onEvent: (event) => {
          if (isLast(event)) return resolve(event)
          if (stopped !== undefined) return
          try {
            passOn(event)
          } catch (error) {
            stop(error)
          }
        }
      })
    })
    signal.addEventListener('abort', onAbort, { once: true })
    zygote.send({ ...request, id, sandbox: this.#sandbox(request, options) })
    try {
      const end = await Promise.race([last, zygote.ended])
      if (stopped !== undefined) throw lastLines.explain(stopped.reason)
      if (end instanceof ConversionError) throw end
      throwUnlessDone(end, lastLines)
    } finally {
      clearTimeout(hanging)
      signal.removeEventListener('abort', onAbort)
      this.#runs.delete(id)
    }
  }

  #sandbox(request: WorkerRequest, { temporaryFolder, limits }: RunOptions) {
    const named = Object.entries(request).filter(([name]) => name.endsWith('Path'))
    return {
      temporaryFolder,
      readable: named.flatMap(([, value]) => (typeof value === 'string' ? [path.resolve(value)] : [])),
      writable: [request.workDir],
      limits: { ...defaultLimits(), ...this.#options.limits, ...limits }
    }
  }
}

const isLast = ({ event }: JsonEvent): boolean => ['done', 'error', 'crashed', 'cancelled'].includes(event)

function throwUnlessDone({ event, code, message, detail, how }: JsonEvent, lastLines: LastLines): void {
  if (event === 'done') return
  const known = Object.hasOwn(conversionErrorCodes, String(code)) ? (String(code) as ConversionErrorCode) : undefined
  if (event === 'error') {
    const lines = typeof detail === 'string' ? detail.split('\n') : []
    throw new ConversionError(known ?? 'converter-failed', String(message), { lastLines: lines })
  }
  const kind = known ?? 'converter-crashed'
  const before = kind === 'converter-crashed' ? '' : `${conversionErrorCodes[kind]} `
  throw lastLines.crash(kind, 'The converter', String(how ?? 'a cancellation that nobody asked for'), before)
}

async function untilAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const { promise: aborted, reject } = withResolvers()
  const onAbort = () => reject(signal.reason)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
