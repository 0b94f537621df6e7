import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { type ConversionDeps, ConversionError, type ConversionResult, convert } from '@skerry/converter'
import { compareWithOracle } from './oracle.ts'
import { ZOO_VARIANTS } from './zoo.ts'
import type { PreparedModel, ZooContext, ZooModel } from './zoo-model.ts'
import { rowsOf, type ZooRecord } from './zoo-record.ts'

export type ConvertModelOptions = {
  deps: Omit<ConversionDeps, 'onProgress'>
  /** Recipes' names. Default: those of the zoo, and the model's own. */
  variants?: readonly string[]
  /** Whether something better is looked for where a variant is rejected, which takes minutes. Default false. */
  propose?: boolean
  /** Converted files are made here and removed afterwards. */
  workDir: string
  /** Stands for the converter (converterStamp). */
  stamp: string
  /** What is known of an earlier run. */
  kept?: ZooRecord
  now: () => number
}

export const variantsOf = (model: ZooModel): readonly string[] => [...ZOO_VARIANTS, ...(model.moreVariants ?? [])]

/** Prepares a model and converts it, unless an earlier record is of the same model, converter and variants. */
export async function convertModel(
  model: ZooModel,
  context: ZooContext,
  options: ConvertModelOptions
): Promise<ZooRecord> {
  const prepared = await model.prepare(context)
  const variants = options.variants ?? variantsOf(model)
  const runtimes = options.deps.runtimes.filter((name) => model.runtimes?.includes(name) ?? true)
  const key = await keyOf(prepared, variants, [options.stamp, ...runtimes].join(' '))
  // A refusal may have been the machine's fault, such as a missing engine.
  if (options.kept?.key === key && options.kept.refused === undefined) {
    context.log(`${model.name}: nothing has changed`)
    return options.kept
  }
  const propose = options.propose ?? false
  const started = options.now()
  const record: Omit<ZooRecord, 'seconds'> = {
    model: model.name,
    group: model.group,
    origin: model.origin,
    license: model.license,
    format: prepared.format,
    key,
    sourceBytes: (await stat(prepared.sourcePath)).size,
    warnings: [],
    rows: [],
    oracle: []
  }
  const workDir = path.join(options.workDir, model.name)
  await rm(workDir, { recursive: true, force: true })
  try {
    const result = await run(model, prepared, variants, workDir, context, { ...options.deps, runtimes }, propose)
    record.rows = rowsOf(result)
    record.warnings = [...result.warnings]
    record.oracle = await compareWithOracle(context, prepared, result)
  } catch (error) {
    if (!(error instanceof ConversionError)) throw error
    record.refused = { code: error.code, message: error.message }
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
  return { ...record, seconds: Math.round((options.now() - started) / 100) / 10 }
}

function run(
  model: ZooModel,
  { oracle: _, ...prepared }: PreparedModel,
  variants: readonly string[],
  workDir: string,
  context: ZooContext,
  deps: ConvertModelOptions['deps'],
  propose: boolean
): Promise<ConversionResult> {
  let stage = ''
  const onProgress: ConversionDeps['onProgress'] = (progress) => {
    if (progress.stage === stage) return
    stage = progress.stage
    context.log(`${model.name}: ${progress.percent} % ${stage}`)
  }
  return convert({ ...prepared, variants, workDir, propose }, { ...deps, onProgress })
}

async function keyOf(prepared: PreparedModel, variants: readonly string[], stamp: string): Promise<string> {
  const { sourcePath, calibrationPath, evaluationPath, oracle, ...rest } = prepared
  const hash = createHash('sha256').update(JSON.stringify({ variants, stamp, ...rest }))
  for (const file of [sourcePath, calibrationPath, evaluationPath, oracle?.path]) {
    if (file !== undefined) hash.update(await sha256(file))
  }
  return hash.digest('hex').slice(0, 16)
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
