import { access, constants, readFile } from 'node:fs/promises'
import path from 'node:path'
import {
  detectSourceFormat,
  type Preprocessing,
  parsePreprocessing,
  parseRecipe,
  type SourceFormat,
  type Tolerance
} from '@skerry/converter'
import { CliError } from '../cli-error.ts'

export type ConvertFlags = {
  variant?: string[]
  format?: SourceFormat
  calibration?: string
  evaluation?: string
  preprocessing?: string
  labels?: string
  signature?: string
  tolerance?: string
  out?: string
  report?: string
  timeLimit?: number
  propose?: boolean
}

/** What is to be converted, checked as far as it can be without TensorFlow. */
export type ConvertPlan = {
  sourcePath: string
  format: SourceFormat
  variants: string[]
  calibrationPath?: string
  evaluationPath?: string
  preprocessing?: Preprocessing
  labels?: string[]
  signature?: string
  tolerance?: Tolerance
  outDir: string
  reportPath: string
  timeLimitMs: number
  propose: boolean
}

const DEFAULT_VARIANTS = ['float32', 'float16', 'dynamic_int8', 'full_int8']
const DEFAULT_TIME_LIMIT_S = 1_800
const TOLERANCES = ['minSnrDb', 'maxAbsErrorOfRange', 'minAgreement', 'maxAccuracyDrop'] as const

/** @throws CliError or ConversionError, with what to write instead. */
export async function planConversion(file: string, flags: ConvertFlags): Promise<ConvertPlan> {
  const sourcePath = path.resolve(file)
  for (const each of [file, flags.calibration, flags.evaluation]) await mustBeReadable(each)
  const format = flags.format ?? (await detectSourceFormat(sourcePath))
  const variants = [...new Set((flags.variant ?? DEFAULT_VARIANTS).flatMap((names) => names.split(',')))]
  for (const name of variants) parseRecipe(name)
  const outDir = path.resolve(flags.out ?? `${path.basename(sourcePath).replace(/\.[^.]*$/, '')}-tflite`)
  return {
    sourcePath,
    format,
    variants: format === 'tflite' ? ['original'] : variants,
    ...(flags.calibration === undefined ? {} : { calibrationPath: path.resolve(flags.calibration) }),
    ...(flags.evaluation === undefined ? {} : { evaluationPath: path.resolve(flags.evaluation) }),
    ...(flags.preprocessing === undefined ? {} : { preprocessing: parsePreprocessing(flags.preprocessing) }),
    ...(flags.labels === undefined ? {} : { labels: await readLabels(flags.labels) }),
    ...(flags.signature === undefined ? {} : { signature: flags.signature }),
    ...(flags.tolerance === undefined ? {} : { tolerance: readTolerance(flags.tolerance) }),
    outDir,
    reportPath: path.resolve(flags.report ?? path.join(outDir, 'report.html')),
    timeLimitMs: (flags.timeLimit ?? DEFAULT_TIME_LIMIT_S) * 1_000,
    propose: flags.propose ?? true
  }
}

async function mustBeReadable(file: string | undefined): Promise<void> {
  if (file === undefined) return
  await access(file, constants.R_OK).catch((cause: NodeJS.ErrnoException) => {
    throw new CliError(`${file} cannot be read: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`)
  })
}

/** One name a line, or a JSON array of names. */
async function readLabels(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new CliError(`The labels cannot be read: ${cause.message}`, { cause })
  })
  if (!text.trimStart().startsWith('[')) return text.split(/\r?\n/).filter((line) => line !== '')
  try {
    const labels = JSON.parse(text) as unknown
    if (Array.isArray(labels) && labels.every((label) => typeof label === 'string')) return labels
  } catch (cause) {
    throw new CliError(`${file} is no JSON array of names: ${(cause as Error).message}`, { cause })
  }
  throw new CliError(`${file} is no JSON array of names.`)
}

/** minSnrDb=20,maxAccuracyDrop=0.01 */
function readTolerance(text: string): Tolerance {
  const tolerance: Tolerance = {}
  for (const pair of text.split(',')) {
    const [key, value = ''] = pair.split('=')
    const known = TOLERANCES.find((each) => each === key)
    if (known === undefined || value === '' || !Number.isFinite(Number(value))) {
      throw new CliError(`'${pair}' is no tolerance: write NAME=NUMBER, NAME one of ${TOLERANCES.join(', ')}`)
    }
    tolerance[known] = Number(value)
  }
  return tolerance
}
