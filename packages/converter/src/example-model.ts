import { createHash } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import path from 'node:path'
import { ConversionError } from './conversion-error.ts'
import { type JsonEvent, runJsonLines } from './json-lines-process.ts'
import { pythonEnvironment, pythonFolder } from './python-converter.ts'
import type { ConversionProgress } from './types.ts'

export type ExampleModelOptions = {
  python: string
  /** Kept between runs: a folder that holds the result of the same recipe is not built again. */
  outDir: string
  /** Width of MobileNetV2. */
  alpha: 1.0 | 0.35
  /** Default `none`; `imagenet` downloads its weights. */
  weights?: 'none' | 'imagenet'
  /** More of the environment for the process, such as a proxy for the download. */
  env?: Record<string, string>
  onProgress?: (progress: ConversionProgress) => void
  onLog?: (line: string) => void
  signal?: AbortSignal
}

export type ExampleModel = {
  /** False when an earlier result was kept. */
  built: boolean
  modelPath: string
  /** Real training pictures under the input's name. */
  calibrationPath: string
  /** Held-out pictures, and `y`: 1 for a face. */
  evaluationPath: string
  /** Calibration data that is wrong on purpose. */
  noisePath: string
  metrics: ExampleMetrics
}

export type ExampleMetrics = {
  recipe: Record<string, unknown>
  preprocessing: Record<string, unknown>
  accuracy: number
  outputDeviation: number
  evaluationSamples: number
  parameters: number
  seconds: number
}

const seed = 1

/**
 * Builds the worked example's model (python/example_model.py): 15 to 35 s on two cores, nothing the next time.
 *
 * @throws ConversionError `converter-failed` with the script's own line when the model does not tell faces apart.
 */
export async function buildExampleModel(options: ExampleModelOptions): Promise<ExampleModel> {
  const outDir = path.resolve(options.outDir)
  const script = path.join(pythonFolder, 'example_model.py')
  const weights = options.weights ?? 'none'
  const recipe = { script: await sha256(script), alpha: options.alpha, weights, seed, dataOnly: false }
  const files = {
    modelPath: path.join(outDir, 'model.keras'),
    calibrationPath: path.join(outDir, 'calibration.npz'),
    evaluationPath: path.join(outDir, 'evaluation.npz'),
    noisePath: path.join(outDir, 'noise.npz')
  }
  const kept = await readMetrics(outDir)
  if (kept !== undefined && sameRecipe(kept.recipe, recipe)) return { built: false, ...files, metrics: kept }

  const temporary = path.join(outDir, 'tmp')
  await mkdir(temporary, { recursive: true })
  try {
    await runJsonLines({
      command: options.python,
      args: [
        ...['-P', '-s', '-B', script, '--out', outDir, '--alpha', options.alpha.toFixed(2)],
        ...['--weights', weights, '--seed', String(seed)]
      ],
      env: { ...pythonEnvironment(temporary), ...options.env },
      cwd: temporary,
      onEvent: (event) => report(event, options.onProgress),
      codes: { unavailable: 'converter-unavailable', crashed: 'converter-failed' },
      title: 'The example model',
      ...(options.onLog === undefined ? {} : { onLog: options.onLog }),
      ...(options.signal === undefined ? {} : { signal: options.signal })
    })
  } finally {
    await rm(temporary, { recursive: true, force: true })
  }
  const metrics = await readMetrics(outDir)
  if (metrics === undefined) throw new ConversionError('converter-failed', 'The example model was not written.')
  return { built: true, ...files, metrics }
}

function report({ event, stage, percent, message }: JsonEvent, onProgress: ExampleModelOptions['onProgress']): void {
  if (event !== 'progress') return
  onProgress?.({ stage: String(stage), percent: Number(percent), message: String(message) })
}

async function sha256(file: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(file))
    .digest('hex')
}

/** The script writes this file last, so that it stands for a whole result. */
async function readMetrics(outDir: string): Promise<ExampleMetrics | undefined> {
  try {
    return JSON.parse(await readFile(path.join(outDir, 'metrics.json'), 'utf8')) as ExampleMetrics
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError
    if (missing) return undefined
    throw error
  }
}

const sameRecipe = (a: Record<string, unknown>, b: Record<string, unknown>): boolean =>
  Object.entries(b).every(([key, value]) => a[key] === value)
