import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { AssignConversion, ConversionResult, RuntimeName, SourceFormat } from '@skerry/contracts'
import type { ConverterWorker } from '@skerry/converter'
import type { Logger } from 'pino'
import type { Static } from 'typebox'
import { wordsOf } from '../agent-error.ts'
import { ArtifactCache } from '../artifact-cache.ts'
import type { BlobClient } from '../blob-client.ts'
import { mergeKnown, uploadConversion } from './conversion-result.ts'
import type { JobContext, JobExecutor } from './job-outcome.ts'

export type ConversionJobDeps = {
  blobs: BlobClient
  /** Holds a directory per running conversion; whatever is in it at a start is left over from a crash. */
  workDir: string
  python: string
  worker: ConverterWorker
  /** Stands for the converter here (DeviceFacts.converterStamp), where it could be found out. */
  stamp?: string
  liteRtLibrary?: string
  liteRtVersion?: string
  runtimes: readonly RuntimeName[]
  random: () => number
  log: Logger
}

/** How long the converter's process, half a gigabyte, waits for the next conversion. */
const WARM_MS = 5 * 60_000
// What a progress frame may carry.
const LOG_LINES = 20
const LOG_LINE_LENGTH = 500

type Work = Static<typeof AssignConversion>

/** Keras tells its formats by the file's name. */
const SUFFIX_OF: Record<SourceFormat, string> = {
  keras: '.keras',
  h5: '.h5',
  savedmodel: '',
  tfjs: '',
  tflite: '.tflite'
}

/**
 * Converts a model: everything comes and goes by hash and as a stream, and nothing stays on the disk. What this
 * converter gave for the same source and recipe before comes with the work, and is not made again.
 */
export function conversionExecutor(deps: ConversionJobDeps): JobExecutor<'conversion'> {
  let cooling: NodeJS.Timeout | undefined
  const stopWorker = () => {
    deps.worker.stop().catch((error: unknown) => deps.log.warn({ error: wordsOf(error) }, 'the converter did not stop'))
  }
  return async (work, _body, context) => {
    clearTimeout(cooling)
    const known = deps.stamp === undefined ? [] : (work.known?.[deps.stamp] ?? [])
    const left = work.variants.filter((recipe) => !known.some(({ variants }) => variants[0]?.recipe === recipe))
    const merge = (all: readonly ConversionResult[], made?: ConversionResult) => ({
      result: { conversion: mergeKnown(work.variants, all, made, deps.stamp) },
      body: []
    })
    if (left.length === 0) return merge(known)
    const directory = join(deps.workDir, `${context.jobId}-${context.epoch}`)
    await rm(directory, { recursive: true, force: true })
    await mkdir(directory, { recursive: true, mode: 0o700 })
    try {
      const made = await convertIn(directory, { ...work, variants: left }, context, deps)
      // Golden inputs are shared by a version's variants; where they came out otherwise, what is known does not fit.
      const fits = known.every(({ goldenInputs }) => goldenInputs === made.goldenInputs)
      return fits ? merge(known, made) : merge([], await convertIn(directory, work, context, deps))
    } finally {
      cooling = setTimeout(stopWorker, WARM_MS).unref()
      await rm(directory, { recursive: true, force: true, maxRetries: 3 })
    }
  }
}

async function convertIn(
  directory: string,
  work: Work,
  { signal, progress }: JobContext,
  deps: ConversionJobDeps
): Promise<ConversionResult> {
  // Loaded by the first conversion: an agent that converts nothing has no memory to spare for it.
  const { convert, toleranceForAll } = await import('@skerry/converter')
  const { blobs, python, worker, liteRtLibrary, liteRtVersion, runtimes, log } = deps
  // It goes with the work's directory: nothing to evict, no order to keep.
  const limits = { maxBytes: Number.POSITIVE_INFINITY, now: () => 0 }
  const downloads = await ArtifactCache.open(join(directory, 'downloads'), blobs, deps.random, limits)
  const download = async (sha256: string, name: string, bytes?: number): Promise<string> => {
    progress('download', 0, `Fetching the ${name}`)
    return downloads.fetch(sha256, signal, bytes)
  }
  const sourcePath = join(directory, `source${SUFFIX_OF[work.source.format]}`)
  const dataPath = async (name: 'calibration' | 'evaluation'): Promise<string | undefined> => {
    const data = work[name]
    return data === undefined ? undefined : download(data.blob, `${name} data`)
  }
  const calibrationPath = await dataPath('calibration')
  const evaluationPath = await dataPath('evaluation')
  await rename(await download(work.source.sha256, 'model', work.source.bytes), sourcePath)

  const lastLines: string[] = []
  const onLog = (line: string): void => {
    log.debug({ line }, 'converter')
    lastLines.push(line.slice(0, LOG_LINE_LENGTH))
    if (lastLines.length > LOG_LINES) lastLines.shift()
  }
  const workDir = join(directory, 'converted')
  await rm(workDir, { recursive: true, force: true })
  const converted = await convert(
    {
      sourcePath,
      format: work.source.format,
      variants: work.variants,
      workDir,
      ...(calibrationPath === undefined ? {} : { calibrationPath }),
      ...(evaluationPath === undefined ? {} : { evaluationPath }),
      ...(work.preprocessing === undefined ? {} : { preprocessing: work.preprocessing }),
      ...(work.labels === undefined ? {} : { labels: work.labels }),
      ...(work.propose === undefined ? {} : { propose: work.propose }),
      ...(work.signature === undefined ? {} : { signature: work.signature }),
      ...(work.tolerance === undefined ? {} : { tolerance: toleranceForAll(work.variants, work.tolerance) })
    },
    {
      python,
      worker,
      ...(liteRtLibrary === undefined ? {} : { liteRtLibrary }),
      ...(liteRtVersion === undefined ? {} : { liteRtVersion }),
      runtimes,
      timeLimitMs: work.timeLimitMs,
      signal,
      onProgress: ({ stage, percent, message }) => progress(stage, percent, message, lastLines),
      onLog
    }
  )
  progress('upload', 100, 'Uploading the variants')
  return uploadConversion(converted, directory, (sha256, path) => blobs.writeFile(sha256, path, signal))
}

/** Removes what conversions left behind that a crash or a power loss ended. */
export async function clearWorkDir(workDir: string, log: Logger): Promise<void> {
  try {
    await rm(workDir, { recursive: true, force: true })
  } catch (error) {
    log.warn({ workDir, error: wordsOf(error) }, 'leftovers of conversions could not be removed')
  }
  await mkdir(workDir, { recursive: true, mode: 0o700 })
}
