import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { ConversionError } from './conversion-error.ts'
import { type ConverterLimits, defaultLimits } from './converter-limits.ts'
import { runJsonLines } from './json-lines-process.ts'
import { pythonArguments, pythonEnvironment } from './python-environment.ts'
import type { ReferenceRequest } from './reference-child.ts'

export type ReferenceAgreement = { engine: 'tfjs-node'; version: string; maxAbsError: number; samples: number }

export type ReferenceOptions = {
  /** Of the launcher, which isolates the engine (python/skerry_converter/sandbox_exec.py). */
  python: string
  /** Holds a folder of the engine's own while it runs. */
  workDir: string
  signal: AbortSignal
  limits?: Partial<ConverterLimits>
  onWarning?: (message: string) => void
  onLog?: (line: string) => void
}

/** Relative to the output's largest magnitude where that exceeds 1. */
export const REFERENCE_TOLERANCE = 1e-5

/**
 * Runs the exported SavedModel in @tensorflow/tfjs-node, a second implementation of everything between the file and the
 * answer, on the samples for which the original's answers are known. Undefined, and a warning, where it has no tensors of
 * the types that the model takes or gives.
 *
 * @throws ConversionError `export-disagrees` beyond REFERENCE_TOLERANCE, `reference-unavailable` when it cannot run.
 */
export async function checkExport(
  request: ReferenceRequest,
  options: ReferenceOptions
): Promise<ReferenceAgreement | undefined> {
  let result: { version: string; maxAbsError: number | null; disagreement: number | null; samples: number } | undefined
  let unsupported: string | undefined
  const folder = await mkdtemp(path.join(options.workDir, 'reference-'))
  try {
    await runJsonLines({
      command: options.python,
      args: isolated(
        [process.execPath, fileURLToPath(childScript()), JSON.stringify(request)],
        request,
        folder,
        options
      ),
      env: { ...pythonEnvironment(folder), TF_CPP_MIN_LOG_LEVEL: '2' },
      cwd: folder,
      onEvent: (event) => {
        if (event.event === 'result') result = event as unknown as NonNullable<typeof result>
        if (event.event === 'unsupported') unsupported = String(event.reason)
      },
      signal: options.signal,
      codes: { unavailable: 'reference-unavailable', crashed: 'reference-unavailable' },
      title: 'The reference engine @tensorflow/tfjs-node (scripts/build-tfjs-node.mjs builds it)',
      ...(options.onLog === undefined ? {} : { onLog: options.onLog })
    })
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  if (unsupported !== undefined) {
    options.onWarning?.(`The export was not checked with a second engine, @tensorflow/tfjs-node: ${unsupported}.`)
    return undefined
  }
  if (result === undefined) throw new ConversionError('reference-unavailable', 'The reference engine gave no result.')
  const { version, maxAbsError, disagreement, samples } = result
  if (maxAbsError === null || disagreement === null || disagreement > REFERENCE_TOLERANCE) {
    const error = maxAbsError === null ? 'not a number' : maxAbsError.toExponential(2)
    const text = `The exported model differs from the original by ${error} in ${samples} samples in tfjs-node ${version}`
    throw new ConversionError('export-disagrees', `${text}; at most ${REFERENCE_TOLERANCE} is allowed.`)
  }
  return { engine: 'tfjs-node', version, maxAbsError, samples }
}

/** The model is as untrusted here as it is in the converter. */
function isolated(
  command: readonly string[],
  { exportPath, samplesPath, referencePath }: ReferenceRequest,
  folder: string,
  { limits }: ReferenceOptions
): string[] {
  const readable = [process.execPath, ...engineFolders(), exportPath, samplesPath, referencePath]
  return pythonArguments(
    ...['-m', 'skerry_converter.sandbox_exec', '--parent', String(process.pid)],
    ...['--limits', JSON.stringify({ ...defaultLimits(), ...limits })],
    ...readable.flatMap((file) => ['--read', file]),
    ...['--write', folder, '--', ...command]
  )
}

/** This package, and the folder with all packages in which the engine and what it needs are. */
function engineFolders(): string[] {
  const own = fileURLToPath(new URL('..', import.meta.url))
  const engine = createRequire(import.meta.url).resolve('@tensorflow/tfjs-node/package.json')
  const parts = engine.split(path.sep)
  return [own, parts.slice(0, parts.indexOf('node_modules') + 1).join(path.sep)]
}

/** Beside this file when built; in the build when this file runs as TypeScript source. */
function childScript(): URL {
  return new URL(
    import.meta.url.endsWith('.ts') ? '../dist/reference-child.js' : './reference-child.js',
    import.meta.url
  )
}
