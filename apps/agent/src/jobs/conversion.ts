import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type {
  AssignConversion,
  ConversionResult,
  ConvertedVariant,
  RuntimeName,
  SourceFormat,
  Tolerance,
  VariantRecipe
} from '@skerry/contracts'
import { ConversionError, type ConversionDeps as ConverterDeps, convert, type VariantResult } from '@skerry/converter'
import type { Logger } from 'pino'
import type { Static } from 'typebox'
import { wordsOf } from '../agent-error.ts'
import { ArtifactCache } from '../artifact-cache.ts'
import type { BlobClient } from '../blob-client.ts'
import type { JobContext, JobExecutor } from './job-outcome.ts'

export type ConversionJobDeps = {
  blobs: BlobClient
  /** Holds a directory per running conversion; whatever is in it at a start is left over from a crash. */
  workDir: string
  python: string
  liteRtLibrary?: string
  liteRtVersion?: string
  runtimes: readonly RuntimeName[]
  random: () => number
  log: Logger
}

type Work = Static<typeof AssignConversion>

/** Keras tells its formats by the file's name. */
const SUFFIX_OF: Record<SourceFormat, string> = { keras: '.keras', h5: '.h5', savedmodel: '', tflite: '.tflite' }

/** Converts a model: everything comes and goes by hash and as a stream, and nothing stays on the disk. */
export function conversionExecutor(deps: ConversionJobDeps): JobExecutor<'conversion'> {
  return async (work, _body, context) => {
    const directory = join(deps.workDir, `${context.jobId}-${context.epoch}`)
    await rm(directory, { recursive: true, force: true })
    await mkdir(directory, { recursive: true, mode: 0o700 })
    try {
      return { result: { conversion: await convertIn(directory, work, context, deps) }, body: [] }
    } finally {
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
  const downloads = await ArtifactCache.open(join(directory, 'downloads'), deps.blobs, deps.random)
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

  const converted = await convert(
    {
      sourcePath,
      format: work.source.format,
      variants: work.variants,
      workDir: join(directory, 'converted'),
      ...(calibrationPath === undefined ? {} : { calibrationPath }),
      ...(evaluationPath === undefined ? {} : { evaluationPath }),
      ...(work.tolerance === undefined ? {} : { tolerance: toleranceForAll(work.variants, work.tolerance) })
    },
    {
      python: deps.python,
      ...(deps.liteRtLibrary === undefined ? {} : { liteRtLibrary: deps.liteRtLibrary }),
      ...(deps.liteRtVersion === undefined ? {} : { liteRtVersion: deps.liteRtVersion }),
      runtimes: deps.runtimes,
      timeLimitMs: work.timeLimitMs,
      signal,
      onProgress: ({ stage, percent, message }) => progress(stage, percent, message),
      onLog: (line) => deps.log.debug({ line }, 'converter')
    } satisfies ConverterDeps
  )

  const upload = async (path: string, sha256: string): Promise<string> => {
    await deps.blobs.writeFile(sha256, path, signal)
    return sha256
  }
  progress('upload', 100, 'Uploading the variants')
  const variants: ConvertedVariant[] = []
  for (const variant of converted.variants) variants.push(await uploadVariant(variant, upload))
  const goldenInputs = variants.some((variant) => variant.goldenOutputs !== undefined)
    ? await upload(converted.goldenInputsPath, await hashOf(converted.goldenInputsPath, signal))
    : undefined
  return {
    inputs: converted.inputs,
    outputs: converted.outputs,
    names: converted.names,
    converter: converted.converter,
    reference: converted.reference ?? {},
    ...(goldenInputs === undefined ? {} : { goldenInputs }),
    variants,
    warnings: converted.warnings,
    timings: converted.timings
  }
}

async function uploadVariant(
  result: VariantResult,
  upload: (path: string, sha256: string) => Promise<string>
): Promise<ConvertedVariant> {
  const { variant, path, sha256, goldenOutputsPath, ...rest } = result
  if (path !== undefined && sha256 !== undefined) await upload(path, sha256)
  const goldenOutputs =
    goldenOutputsPath === undefined ? undefined : await upload(goldenOutputsPath, await hashOf(goldenOutputsPath))
  const { state, reason, bytes, inputs, outputs, operators, parity, runtimes } = rest
  return {
    recipe: recipeOf(variant),
    state,
    ...(reason === undefined ? {} : { reason }),
    ...(sha256 === undefined ? {} : { sha256 }),
    ...(bytes === undefined ? {} : { bytes }),
    ...(inputs === undefined ? {} : { inputs }),
    ...(outputs === undefined ? {} : { outputs }),
    ...(operators === undefined ? {} : { operators }),
    ...(parity === undefined ? {} : { parity }),
    ...(goldenOutputs === undefined ? {} : { goldenOutputs }),
    runtimes
  }
}

function recipeOf(variant: VariantResult['variant']): VariantRecipe {
  if (variant !== 'original') return variant
  throw new ConversionError('wrong-format', 'A .tflite file is served as it is; there is nothing to convert.')
}

function toleranceForAll(
  variants: readonly VariantRecipe[],
  tolerance: Tolerance
): Partial<Record<VariantRecipe, Tolerance>> {
  return Object.fromEntries(variants.map((variant) => [variant, tolerance]))
}

async function hashOf(path: string, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256')
  const options = { highWaterMark: 1 << 20, ...(signal === undefined ? {} : { signal }) }
  for await (const piece of createReadStream(path, options)) hash.update(piece as Buffer)
  return hash.digest('hex')
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
