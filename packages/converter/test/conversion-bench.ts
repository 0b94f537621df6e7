import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect } from 'vitest'
import {
  type ConversionDeps,
  type ConversionError,
  type ConversionRequest,
  type ConversionResult,
  ConverterWorker,
  convert,
  type VariantResult
} from '../src/index.ts'
import { findLiteRt, madeModels, python } from './real-parts.ts'

/** The made models, a scratch folder, and conversions in it with every default that a test does not care about. */
export async function openBench() {
  const models = await madeModels()
  const scratch = await mkdtemp(path.join(tmpdir(), 'skerry-converter-'))
  const liteRt = await findLiteRt()
  // Shared, as an agent shares it: TensorFlow's import takes longer than most of these conversions.
  const worker = new ConverterWorker({ python })
  let runs = 0

  const run = (request: Partial<ConversionRequest>, deps: Partial<ConversionDeps> = {}): Promise<ConversionResult> =>
    convert(
      {
        sourcePath: path.join(models, 'sides.keras'),
        format: 'keras',
        variants: ['float32'],
        workDir: path.join(scratch, `work-${++runs}`),
        ...request
      },
      { python, ...liteRt, runtimes: ['litert'], ...(deps.python === undefined ? { worker } : {}), ...deps }
    )

  /** The error of a conversion that must fail, after which nothing of it may be there. */
  const failure = async (request: Partial<ConversionRequest>, deps: Partial<ConversionDeps> = {}) => {
    const workDir = path.join(scratch, `failing-${++runs}`)
    const error = await run({ workDir, ...request }, deps).then(
      () => undefined,
      (reason: unknown) => reason
    )
    await expect(stat(workDir)).rejects.toMatchObject({ code: 'ENOENT' })
    expect(error).toMatchObject({ name: 'ConversionError' })
    return error as ConversionError
  }

  const close = async () => {
    await worker.stop()
    await rm(scratch, { recursive: true, force: true })
  }
  return { models, scratch, run, failure, close }
}

export type Bench = Awaited<ReturnType<typeof openBench>>

export function named(result: ConversionResult, name: string): VariantResult {
  const found = result.variants.find(({ variant }) => variant === name)
  if (found === undefined) throw new Error(`no variant ${name}`)
  return found
}
