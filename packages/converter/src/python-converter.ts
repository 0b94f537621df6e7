import { fileURLToPath } from 'node:url'
import { type ArrayDtype, isArrayDtype } from './array.ts'
import { ConversionError, type ConversionErrorCode, conversionErrorCodes } from './conversion-error.ts'
import { type JsonEvent, runJsonLines } from './json-lines-process.ts'
import type { NameMap, SourceFormat, VariantName } from './types.ts'

/** The folder with the Python code, for both src/ and dist/. */
export const pythonFolder = fileURLToPath(new URL('../python', import.meta.url))

export type PythonRequest = {
  sourcePath: string
  format: Exclude<SourceFormat, 'tflite'>
  variants: readonly VariantName[]
  calibrationPath?: string
  evaluationPath?: string
  workDir: string
  /** An earlier process exported the model into the same folder; only variants are made. */
  resume?: boolean
}

export type PythonTensor = { name: string; dtype: ArrayDtype; shape: number[] }

export type Described = {
  inputs: PythonTensor[]
  outputs: PythonTensor[]
  names: NameMap
  reference: { name: 'keras' | 'tensorflow'; version: string }
  converter: { name: string; version: string }
}

export type Exported = {
  exportPath: string
  samplesPath: string
  referencePath: string
  data: 'uploaded' | 'generated'
}

export type ConvertedVariant = {
  variant: VariantName
  path?: string
  options?: Record<string, unknown>
  milliseconds?: number
  error?: string
}

export type PythonListener = {
  progress: (progress: { stage: string; percent: number; message: string }) => void
  warning: (message: string) => void
  described: (described: Described) => void
  exported: (exported: Exported) => void
  /** Begins, and ends with `variant` unless the process ends before. */
  converting: (begun: { variant: VariantName }) => void
  variant: (variant: ConvertedVariant) => void
}

export type PythonOptions = {
  python: string
  temporaryFolder: string
  signal: AbortSignal
  onLog?: (line: string) => void
}

/** What every Python process here gets of the environment: nothing of the caller's, and no place to write but `folder`. */
export function pythonEnvironment(folder: string): Record<string, string> {
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    LANG: 'C.UTF-8',
    PYTHONUTF8: '1',
    PYTHONPATH: pythonFolder,
    HOME: folder,
    KERAS_HOME: folder,
    TMPDIR: folder
  }
}

/**
 * Runs one conversion in a Python process of its own (python/skerry_converter/job.py).
 *
 * @throws ConversionError: the process's own, `converter-crashed`, or the signal's reason.
 */
export async function runPythonConverter(
  request: PythonRequest,
  options: PythonOptions,
  listener: PythonListener
): Promise<void> {
  let done = false
  await runJsonLines({
    command: options.python,
    // Not the current folder on the module path (-P), no user packages (-s), nothing written beside the sources (-B).
    args: ['-P', '-s', '-B', '-m', 'skerry_converter'],
    env: pythonEnvironment(options.temporaryFolder),
    cwd: options.temporaryFolder,
    request: { id: 1, ...request },
    isLast: ({ event }) => event === 'done' || event === 'error',
    onEvent: (event) => {
      if (event.event === 'done') done = true
      else dispatch(event, listener)
    },
    signal: options.signal,
    codes: { unavailable: 'converter-unavailable', crashed: 'converter-crashed' },
    title: 'The converter',
    ...(options.onLog === undefined ? {} : { onLog: options.onLog })
  })
  if (!done) throw new ConversionError('converter-crashed', 'The converter ended before it was done.')
}

// The process is ours; its events are trusted to have the fields that job.py documents.
function dispatch(event: JsonEvent, listener: PythonListener): void {
  switch (event.event) {
    case 'progress':
      listener.progress(event as unknown as Parameters<PythonListener['progress']>[0])
      return
    case 'warning':
      listener.warning(String(event.message))
      return
    case 'described':
      listener.described(checkTypes(event as unknown as Described))
      return
    case 'exported':
      listener.exported(event as unknown as Exported)
      return
    case 'converting':
      listener.converting(event as unknown as Parameters<PythonListener['converting']>[0])
      return
    case 'variant':
      listener.variant(event as unknown as ConvertedVariant)
      return
    case 'error': {
      const code = String(event.code)
      const known = Object.hasOwn(conversionErrorCodes, code) ? (code as ConversionErrorCode) : 'converter-failed'
      const detail = typeof event.detail === 'string' ? event.detail.split('\n') : []
      throw new ConversionError(known, String(event.message), { lastLines: detail })
    }
  }
}

function checkTypes(described: Described): Described {
  for (const { name, dtype } of [...described.inputs, ...described.outputs]) {
    if (isArrayDtype(dtype)) continue
    throw new ConversionError('converter-failed', `${name} is of type ${dtype}, which no TFLite runtime here takes.`)
  }
  return described
}
