import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { buildExampleModel, ConverterWorker, parseRecipe } from '@skerry/converter'
import { fileSha256 } from '@skerry/runtimes'

export type ExampleVariant = 'float32' | 'full_int8'

/** Paths of the example model's variants; those that are not kept in `dataDir` are made there, in a minute. */
export async function exampleVariants(
  { python, dataDir }: { python: string; dataDir: string },
  say: (line: string) => void
): Promise<Record<ExampleVariant, string>> {
  const outDir = path.join(dataDir, 'example', 'alpha-1.0')
  const folder = path.join(outDir, 'variants')
  const paths = { float32: path.join(folder, 'float32.tflite'), full_int8: path.join(folder, 'full_int8.tflite') }
  if (Object.values(paths).every((file) => existsSync(file))) return paths
  say('making the example model and its variants')
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
        recipes: Object.keys(paths).map(parseRecipe),
        calibrationPath: example.calibrationPath,
        calibrationTake: { from: 0, to: 100 },
        withReference: false,
        workDir
      },
      { temporaryFolder, signal: new AbortController().signal, onEvent: () => undefined }
    )
    await mkdir(folder, { recursive: true })
    for (const [variant, file] of Object.entries(paths)) await rename(path.join(workDir, `${variant}.tflite`), file)
  } finally {
    await worker.stop()
    await rm(workDir, { recursive: true, force: true })
  }
  return paths
}
