import { lstatSync, realpathSync } from 'node:fs'
import path from 'node:path'
import { type ArrayDtype, isArrayDtype } from './array.ts'
import { ConversionError } from './conversion-error.ts'
import type { ConverterLimits } from './converter-limits.ts'
import type { ConverterWorker } from './converter-worker.ts'
import type { JsonEvent } from './json-lines-process.ts'
import type { Attempt, Isolation, NameMap, Preprocessing, Recipe, SourceFormat } from './types.ts'

export { pythonEnvironment, pythonFolder } from './python-environment.ts'

/** The request `convert` of python/skerry_converter/job.py. */
export type PythonRequest = {
  sourcePath: string
  /** Written into each file (content-hash.ts). */
  sourceSha256: string
  format: Exclude<SourceFormat, 'tflite'>
  recipes: readonly Recipe[]
  calibrationPath?: string
  /** Calibration samples that are used, `to` not among them. Default: all. */
  calibrationTake?: { from: number; to: number }
  evaluationPath?: string
  preprocessing?: Preprocessing
  labels?: readonly string[]
  signature?: string
  workDir: string
  /** An earlier process exported the model into the same folder; only variants are made. */
  resume?: boolean
}

export type PythonTensor = { name: string; dtype: ArrayDtype | 'string'; shape: number[] }

export type Described = {
  inputs: PythonTensor[]
  outputs: PythonTensor[]
  names: NameMap
  reference: { name: 'keras' | 'tensorflow'; version: string }
  converter: { name: string; version: string }
  signature?: string
  signatures?: string[]
  /** Python packages that take part, by name. */
  versions: Record<string, string>
}

export type Exported = {
  exportPath: string
  samplesPath: string
  referencePath: string
  data: 'uploaded' | 'generated'
  probesPath?: string
  probesReferencePath?: string
  /** Folder of the samples' encoded images. */
  goldenImages?: string
}

export type ConvertedVariant = {
  /** The recipe's name. */
  variant: string
  path?: string
  options?: Record<string, unknown>
  milliseconds?: number
  error?: string
}

export type PythonListener = {
  isolated?: (isolation: Isolation) => void
  progress: (progress: { stage: string; percent: number; message: string }) => void
  warning: (message: string) => void
  described: (described: Described) => void
  exported: (exported: Exported) => void
  /** Begins, and ends with `variant` unless the process ends before. */
  converting: (begun: { variant: string }) => void
  attempt?: (attempt: Attempt & { variant: string }) => void
  variant: (variant: ConvertedVariant) => void
}

export type PythonOptions = {
  worker: ConverterWorker
  temporaryFolder: string
  signal: AbortSignal
  limits?: Partial<ConverterLimits>
  onLog?: (line: string) => void
}

/**
 * Runs one conversion (python/skerry_converter/job.py).
 *
 * @throws ConversionError: the process's own, `converter-crashed`, or the signal's reason.
 */
export async function runPythonConverter(
  request: PythonRequest,
  { worker, ...options }: PythonOptions,
  listener: PythonListener
): Promise<void> {
  const onEvent = (event: JsonEvent) => dispatch(event, request.workDir, listener)
  await worker.run({ kind: 'convert', ...request }, { ...options, onEvent })
}

const tensorFields = ['exportPath', 'samplesPath', 'referencePath'] as const
const moreFields = ['probesPath', 'probesReferencePath', 'goldenImages'] as const

/*
 * The events have the fields that job.py documents. But a model that takes its process over writes events as it likes: so
 * what they name as files must be in the folder that it was given anyway.
 */
function dispatch(event: JsonEvent, workDir: string, listener: PythonListener): void {
  switch (event.event) {
    case 'isolated':
      listener.isolated?.(isolationOf(event))
      return
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
      for (const field of tensorFields) checkInside(event[field], workDir)
      for (const field of moreFields) if (event[field] !== undefined) checkInside(event[field], workDir)
      listener.exported(event as unknown as Exported)
      return
    case 'converting':
      listener.converting({ variant: String(event.variant) })
      return
    case 'attempt':
      listener.attempt?.(event as unknown as Attempt & { variant: string })
      return
    case 'variant':
      if (event.path !== undefined) checkInside(event.path, workDir)
      listener.variant(event as unknown as ConvertedVariant)
      return
  }
}

function isolationOf({ namespaces, network, fileSystem, limits }: JsonEvent): Isolation {
  return { namespaces, network, fileSystem, limits } as Isolation
}

/** @throws ConversionError unless it is there, no link, and in the folder. */
function checkInside(file: unknown, folder: string): void {
  const isThere = typeof file === 'string' && lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() === false
  const relative = isThere ? path.relative(realpathSync(folder), realpathSync(file)) : '..'
  if (relative.startsWith('..') || path.isAbsolute(relative)) {
    throw new ConversionError('unsafe-model', `The converter named ${String(file)}, which is no file of its folder.`)
  }
}

function checkTypes(described: Described): Described {
  for (const { name, dtype } of [...described.inputs, ...described.outputs]) {
    if (dtype === 'string' || isArrayDtype(dtype)) continue
    throw new ConversionError('converter-failed', `${name} is of type ${dtype}, which no TFLite runtime here takes.`)
  }
  return described
}
