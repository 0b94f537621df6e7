import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import {
  type ConversionProgress,
  type ConversionResult,
  convert,
  reportHtml,
  reportJson,
  toleranceForAll
} from '@skerry/converter'
import type { ToolPaths } from '../config.ts'
import type { ConvertPlan } from './plan.ts'

type Deps = {
  tools: ToolPaths
  signal: AbortSignal
  onProgress: (progress: ConversionProgress) => void
  onLog: (line: string) => void
}

/**
 * Converts on this machine, without a server. Files appear in the plan's folder when all is done; a conversion that
 * fails or is cancelled leaves that folder as it was.
 */
export async function convertHere(plan: ConvertPlan, deps: Deps): Promise<ConversionResult> {
  const { outDir, reportPath, sourcePath, format, variants, timeLimitMs, tolerance, ...data } = plan
  const { tools, signal, onProgress, onLog } = deps
  await mkdir(path.dirname(outDir), { recursive: true })
  // Beside the folder, so that a file is moved into it in one step.
  const scratch = await mkdtemp(`${outDir}.making-`)
  try {
    const result = await convert(
      {
        ...data,
        sourcePath,
        format,
        variants,
        workDir: path.join(scratch, 'work'),
        ...(tolerance === undefined ? {} : { tolerance: toleranceForAll(variants, tolerance) })
      },
      {
        python: tools.python,
        liteRtLibrary: tools.liteRtLibrary,
        liteRtVersion: tools.liteRtVersion,
        runtimes: ['litert', 'tfjs-tflite'],
        timeLimitMs,
        signal,
        onProgress,
        onLog
      }
    )
    await mkdir(outDir, { recursive: true })
    for (const file of await readdir(path.join(scratch, 'work'))) {
      await rename(path.join(scratch, 'work', file), path.join(outDir, file))
    }
    await mkdir(path.dirname(reportPath), { recursive: true })
    await writeFile(reportPath, reportHtml(result, { title: path.basename(sourcePath) }))
    await writeFile(path.join(outDir, 'report.json'), `${JSON.stringify(reportJson(result), null, 2)}\n`)
    return result
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}
