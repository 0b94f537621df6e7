import path from 'node:path'
import { hashInputs, type InputHashes } from './content-hash.ts'
import { ConversionError } from './conversion-error.ts'
import { convertTensorFlow } from './convert-tensorflow.ts'
import { ConverterWorker } from './converter-worker.ts'
import { gatherSource } from './gather-source.ts'
import { passTflite } from './pass-tflite.ts'
import { checkSourceFormat } from './source-format.ts'
import { TrialRuntime } from './trial.ts'
import type { ConversionDeps, ConversionRequest, ConversionResult, Isolation } from './types.ts'
import { WorkFolder } from './work-folder.ts'

const defaultTimeLimitMs = 15 * 60_000

/** What the steps of one conversion share. */
export type ConversionContext = {
  request: ConversionRequest
  deps: ConversionDeps & { worker: ConverterWorker }
  work: WorkFolder
  /** Aborts at the time limit and when the caller cancels, with a ConversionError as its reason. */
  signal: AbortSignal
  /** Ends whatever is running, with this reason. */
  stop: (reason: unknown) => void
  runtimes: readonly TrialRuntime[]
  progress: (stage: string, percent: number, message: string) => void
  inputHashes: Promise<InputHashes>
  /** Runs a step and keeps its duration. */
  timed: <T>(step: string, run: () => Promise<T>) => Promise<T>
  timings: Record<string, number>
  /** Is told how a process that runs the model is isolated. */
  isolated: (isolation: Isolation) => void
}

/**
 * Converts a model into variants, each compared with the original on every runtime given. The original runs in Keras or
 * TensorFlow; @tensorflow/tfjs-node must agree on the exported model that the converter reads.
 *
 * What goes wrong with one variant is in its result. What stops the whole is thrown as a ConversionError, and then
 * nothing is left in `request.workDir`.
 */
export async function convert(request: ConversionRequest, deps: ConversionDeps): Promise<ConversionResult> {
  const given = withAbsolutePaths(request)
  await checkSourceFormat(given.sourcePath, given.format)
  const work = await WorkFolder.open(given.workDir)
  const absolute = { ...given, sourcePath: await gatherSource(given, work) }
  const limit = startLimit(deps)
  // Not started before it is needed: a TFLite file is not converted.
  const worker = deps.worker ?? newWorker(deps)
  const runtimes = deps.runtimes.map((name) => new TrialRuntime(name, runtimeOptions(name, deps), limit.signal))
  const now = deps.now ?? (() => performance.now())
  const stopOwnWorker = async () => (worker === deps.worker ? undefined : worker.stop())
  const timings: Record<string, number> = {}
  let reached = 0
  let isolation: Isolation | undefined
  const inputHashes = hashInputs(absolute)
  // Whoever awaits them hears of a failure, and until then nobody.
  inputHashes.catch(limit.stop)
  const context: ConversionContext = {
    request: absolute,
    inputHashes,
    deps: { ...deps, worker },
    work,
    signal: limit.signal,
    stop: limit.stop,
    runtimes,
    progress: (stage, percent, message) => {
      // The converter calibrates some variants twice over the same samples; it shall not look as if work were lost.
      reached = Math.max(reached, Math.round(percent * 10) / 10)
      deps.onProgress?.({ stage, percent: reached, message })
    },
    timed: async (step, run) => {
      const started = now()
      const result = await run()
      timings[step] = Math.round(now() - started)
      return result
    },
    timings,
    isolated: (how) => {
      isolation = how
    }
  }
  try {
    const steps = absolute.format === 'tflite' ? passTflite : convertTensorFlow
    const result = await context.timed('total', () => steps(context))
    context.progress('done', 100, 'done')
    return { ...result, ...(isolation === undefined ? {} : { isolation }) }
  } catch (error) {
    await stopOwnWorker()
    await work.discard()
    // What a step says when it is stopped is less than why it was stopped.
    if (limit.signal.aborted && !(error instanceof ConversionError)) throw limit.signal.reason
    throw error
  } finally {
    limit.clear()
    await Promise.all([...runtimes.map((runtime) => runtime.close()), stopOwnWorker()])
  }
}

function newWorker({ python, onLog }: ConversionDeps): ConverterWorker {
  return new ConverterWorker({ python, ...(onLog === undefined ? {} : { onLog }) })
}

function withAbsolutePaths(request: ConversionRequest): ConversionRequest {
  const { calibrationPath, evaluationPath } = request
  return {
    ...request,
    sourcePath: path.resolve(request.sourcePath),
    workDir: path.resolve(request.workDir),
    ...(calibrationPath === undefined ? {} : { calibrationPath: path.resolve(calibrationPath) }),
    ...(evaluationPath === undefined ? {} : { evaluationPath: path.resolve(evaluationPath) })
  }
}

function runtimeOptions(name: string, { liteRtLibrary, liteRtVersion }: ConversionDeps) {
  if (name !== 'litert') return {}
  return {
    ...(liteRtLibrary === undefined ? {} : { liteRtLibrary }),
    ...(liteRtVersion === undefined ? {} : { version: liteRtVersion })
  }
}

function startLimit({ timeLimitMs = defaultTimeLimitMs, signal }: ConversionDeps) {
  const limit = new AbortController()
  const timer = setTimeout(() => {
    const text = `The conversion took longer than the ${timeLimitMs / 1000} s that it was allowed.`
    limit.abort(new ConversionError('converter-timeout', text))
  }, timeLimitMs)
  const cancel = () => limit.abort(new ConversionError('conversion-cancelled'))
  signal?.addEventListener('abort', cancel, { once: true })
  if (signal?.aborted) cancel()
  return {
    signal: limit.signal,
    stop: (reason: unknown) => limit.abort(reason),
    clear: () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', cancel)
    }
  }
}
