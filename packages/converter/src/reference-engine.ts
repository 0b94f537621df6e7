import { fileURLToPath } from 'node:url'
import { ConversionError } from './conversion-error.ts'
import { runJsonLines } from './json-lines-process.ts'
import type { ReferenceRequest } from './reference-child.ts'

export type ReferenceAgreement = { engine: 'tfjs-node'; version: string; maxAbsError: number; samples: number }

/** Relative to the output's largest magnitude where that exceeds 1. */
export const REFERENCE_TOLERANCE = 1e-5

/**
 * Runs the exported SavedModel in @tensorflow/tfjs-node, a second implementation of everything between the file and the
 * answer, on the samples for which the original's answers are known.
 *
 * @throws ConversionError `export-disagrees` beyond REFERENCE_TOLERANCE, `reference-unavailable` when it cannot run.
 */
export async function checkExport(
  request: ReferenceRequest,
  options: { workDir: string; signal: AbortSignal; onLog?: (line: string) => void }
): Promise<ReferenceAgreement> {
  let result: { version: string; maxAbsError: number | null; disagreement: number | null; samples: number } | undefined
  await runJsonLines({
    command: process.execPath,
    args: [fileURLToPath(childScript()), JSON.stringify(request)],
    env: { TF_CPP_MIN_LOG_LEVEL: '2', TMPDIR: options.workDir },
    cwd: options.workDir,
    onEvent: (event) => {
      if (event.event === 'result') result = event as unknown as NonNullable<typeof result>
    },
    signal: options.signal,
    codes: { unavailable: 'reference-unavailable', crashed: 'reference-unavailable' },
    title: 'The reference engine @tensorflow/tfjs-node (scripts/build-tfjs-node.mjs builds it)',
    ...(options.onLog === undefined ? {} : { onLog: options.onLog })
  })
  if (result === undefined) throw new ConversionError('reference-unavailable', 'The reference engine gave no result.')
  const { version, maxAbsError, disagreement, samples } = result
  if (maxAbsError === null || disagreement === null || disagreement > REFERENCE_TOLERANCE) {
    const error = maxAbsError === null ? 'not a number' : maxAbsError.toExponential(2)
    const text = `The exported model differs from the original by ${error} in ${samples} samples in tfjs-node ${version}`
    throw new ConversionError('export-disagrees', `${text}; at most ${REFERENCE_TOLERANCE} is allowed.`)
  }
  return { engine: 'tfjs-node', version, maxAbsError, samples }
}

/** Beside this file when built; in the build when this file runs as TypeScript source. */
function childScript(): URL {
  return new URL(
    import.meta.url.endsWith('.ts') ? '../dist/reference-child.js' : './reference-child.js',
    import.meta.url
  )
}
