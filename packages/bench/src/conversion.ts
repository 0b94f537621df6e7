import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { buildExampleModel, ConverterWorker, type ExampleModel, parseRecipe } from '@skerry/converter'
import type { BenchmarkContext, BenchmarkResult } from './benchmarks.ts'
import { median } from './median.ts'

const rounds = 5
const calibrationSamples = 100
const variants = ['float32', 'float16', 'dynamic_int8', 'full_int8']
const goal = 1.15

const plainScript = fileURLToPath(new URL('../plain-conversion.py', import.meta.url))

/**
 * The example model's four variants: by the converter that a fleet's converter runs (warm, each round in a process forked
 * and isolated for it, recipes, metadata and all; no reference and no comparisons), against a plain Python script, whose
 * imports are not counted. Seconds; alternating; every second round the peer goes first.
 */
export async function benchmarkConversion({ python, dataDir, say }: BenchmarkContext): Promise<BenchmarkResult> {
  const outDir = path.join(dataDir, 'example', 'alpha-1.0')
  const example = await buildExampleModel({ python, outDir, alpha: 1 })
  const scratch = await mkdtemp(path.join(tmpdir(), 'skerry-bench-'))
  const worker = new ConverterWorker({ python })
  try {
    await worker.start()
    const ours: number[] = []
    const peers: number[] = []
    for (let round = 0; round < rounds; round++) {
      const steps = [
        async () => ours.push(await convertWarm(worker, example, await newFolder(scratch))),
        async () => peers.push(await convertPlain(python, example, await newFolder(scratch)))
      ]
      for (const step of round % 2 === 0 ? steps : steps.reverse()) await step()
      say(
        `round ${round + 1} of ${rounds}: ours ${ours.at(-1)?.toFixed(2)} s, plain script ${peers.at(-1)?.toFixed(2)} s`
      )
    }
    const [oursSeconds, peerSeconds] = [median(ours), median(peers)]
    const ratio = oursSeconds / peerSeconds
    say(
      `medians: ours ${oursSeconds.toFixed(2)} s, plain script ${peerSeconds.toFixed(2)} s; ratio ${ratio.toFixed(3)}`
    )
    return {
      benchmark: 'conversion',
      ratio,
      goal,
      oursSeconds,
      peerSeconds,
      rounds,
      ours,
      peers,
      variants,
      calibrationSamples
    }
  } finally {
    await worker.stop()
    await rm(scratch, { recursive: true, force: true })
  }
}

async function newFolder(scratch: string): Promise<string> {
  const folder = await mkdtemp(path.join(scratch, 'round-'))
  await mkdir(path.join(folder, 'tmp'))
  return folder
}

async function convertWarm(worker: ConverterWorker, example: ExampleModel, workDir: string): Promise<number> {
  const request = {
    kind: 'convert',
    sourcePath: example.modelPath,
    // Of no weight here: the plain script writes none.
    sourceSha256: '',
    format: 'keras',
    recipes: variants.map(parseRecipe),
    calibrationPath: example.calibrationPath,
    calibrationTake: { from: 0, to: calibrationSamples },
    withReference: false,
    workDir
  }
  const failed: unknown[] = []
  const started = performance.now()
  await worker.run(request, {
    temporaryFolder: path.join(workDir, 'tmp'),
    signal: new AbortController().signal,
    onEvent: (event) => {
      if (event.event === 'variant' && event.error !== undefined) failed.push(event.error)
    }
  })
  const seconds = (performance.now() - started) / 1000
  if (failed.length > 0) throw new Error(`the converter failed: ${failed.join('; ')}`)
  await checkMade(workDir)
  return seconds
}

async function convertPlain(python: string, example: ExampleModel, outDir: string): Promise<number> {
  const args = ['-s', plainScript, example.modelPath, example.calibrationPath, String(calibrationSamples), outDir]
  const env = { PATH: '/usr/bin:/bin', HOME: outDir, TMPDIR: path.join(outDir, 'tmp') }
  const { stdout } = await promisify(execFile)(python, args, { env, maxBuffer: 64 << 20 })
  await checkMade(outDir)
  return Number(stdout.trim().split('\n').at(-1))
}

/** A file without weights would be made faster. */
async function checkMade(folder: string): Promise<void> {
  for (const variant of variants) {
    const { size } = await stat(path.join(folder, `${variant}.tflite`))
    if (size < 2e6) throw new Error(`${variant}.tflite has ${size} bytes: it has lost its weights`)
  }
}
