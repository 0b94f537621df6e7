import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { buildExampleModel, ConverterWorker, parseRecipe, type VariantName } from '@skerry/converter'
import { fileSha256 } from '@skerry/runtimes'

/** Paths of the example model's variants; those that are not kept in `dataDir` are made there, in a minute. */
export async function exampleVariants<Wanted extends VariantName>(
  { python, dataDir }: { python: string; dataDir: string },
  wanted: readonly Wanted[],
  say: (line: string) => void
): Promise<Record<Wanted, string>> {
  const outDir = path.join(dataDir, 'example', 'alpha-1.0')
  const folder = path.join(outDir, 'variants')
  const kept = (variant: VariantName) => path.join(folder, `${variant}.tflite`)
  const paths = Object.fromEntries(wanted.map((variant) => [variant, kept(variant)])) as Record<Wanted, string>
  const missing = wanted.filter((variant) => !existsSync(kept(variant)))
  if (missing.length === 0) return paths
  say(`making the example model's variants ${missing.join(', ')}`)
  const example = await buildExampleModel({ python, outDir, alpha: 1 })
  const workDir = await mkdtemp(path.join(outDir, 'converting-'))
  const temporaryFolder = path.join(workDir, 'tmp')
  await mkdir(temporaryFolder)
  const worker = new ConverterWorker({ python })
  try {
    await worker.start()
    await worker.run(
      {
        kind: 'convert',
        sourcePath: example.modelPath,
        sourceSha256: await fileSha256(example.modelPath),
        format: 'keras',
        recipes: missing.map(parseRecipe),
        calibrationPath: example.calibrationPath,
        calibrationTake: { from: 0, to: 100 },
        withReference: false,
        workDir
      },
      { temporaryFolder, signal: new AbortController().signal, onEvent: () => undefined }
    )
    await mkdir(folder, { recursive: true })
    for (const variant of missing) await rename(path.join(workDir, `${variant}.tflite`), kept(variant))
  } finally {
    await worker.stop()
    await rm(workDir, { recursive: true, force: true })
  }
  return paths
}
