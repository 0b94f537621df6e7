import { chmod, copyFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type ConversionDeps,
  type ConversionProgress,
  type ConversionRequest,
  type ConversionResult,
  convert,
  decodeGoldenInputs,
  decodeGoldenOutputs,
  detectSourceFormat,
  VARIANT_NAMES,
  type VariantResult
} from '../src/index.ts'
import { findLiteRt, madeModels, python } from './real-parts.ts'

let models: string
let scratch: string
let liteRt: { liteRtLibrary: string; liteRtVersion: string }
beforeAll(async () => {
  models = await madeModels()
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-converter-'))
  liteRt = await findLiteRt()
}, 60_000)
afterAll(() => rm(scratch, { recursive: true, force: true }))

let runs = 0
async function run(request: Partial<ConversionRequest>, deps: Partial<ConversionDeps> = {}): Promise<ConversionResult> {
  const full: ConversionRequest = {
    sourcePath: path.join(models, 'sides.keras'),
    format: 'keras',
    variants: ['float32'],
    workDir: path.join(scratch, `work-${++runs}`),
    ...request
  }
  return convert(full, { python, ...liteRt, runtimes: ['litert'], ...deps })
}

/** The error of a conversion that must fail, after which nothing of it may be there. */
async function failure(request: Partial<ConversionRequest>, deps: Partial<ConversionDeps> = {}) {
  const workDir = path.join(scratch, `failing-${++runs}`)
  const error = await run({ workDir, ...request }, deps).then(
    () => undefined,
    (reason: unknown) => reason as Error & { code: string; lastLines: string[] }
  )
  await expect(stat(workDir)).rejects.toMatchObject({ code: 'ENOENT' })
  expect(error).toMatchObject({ name: 'ConversionError' })
  return error as Error & { code: string; lastLines: string[] }
}

const named = (result: ConversionResult, name: string): VariantResult => {
  const found = result.variants.find(({ variant }) => variant === name)
  if (found === undefined) throw new Error(`no variant ${name}`)
  return found
}

describe('a trained model with evaluation data', () => {
  let result: ConversionResult
  const progress: ConversionProgress[] = []
  beforeAll(async () => {
    result = await run(
      {
        variants: VARIANT_NAMES,
        calibrationPath: path.join(models, 'sides-calibration.npz'),
        evaluationPath: path.join(models, 'sides-evaluation.npz')
      },
      { runtimes: ['litert', 'tfjs-tflite'], onProgress: (each) => progress.push(each) }
    )
  }, 90_000)

  it('makes every variant, proven on the runtimes that can run it', () => {
    const states = result.variants.map(({ variant, state, reason }) => [variant, state, reason])
    expect(states).toEqual(VARIANT_NAMES.map((name) => [name, 'ready', undefined]))
    for (const { runtimes } of result.variants) {
      expect(runtimes.map(({ name }) => name)).toEqual(['litert', 'tfjs-tflite'])
      expect(runtimes[0]).toMatchObject({ runnable: true, parity: { data: 'uploaded', samples: 96, passed: true } })
    }
  })

  it('says why a runtime cannot run a variant', () => {
    const wasm = named(result, 'dynamic_int8').runtimes[1]
    expect(wasm?.runnable).toBe(false)
    expect(wasm?.reason).toMatch(/FULLY_CONNECTED version 12/)
  })

  it('describes the original, the reference and the second engine that agrees with it', () => {
    expect(result.inputs).toEqual([{ name: 'picture', datatype: 'FP32', shape: [-1, 8, 8, 1] }])
    expect(result.outputs).toEqual([{ name: 'right', datatype: 'FP32', shape: [-1, 1] }])
    expect(result.reference).toMatchObject({ name: 'keras', agreement: { engine: 'tfjs-node', samples: 96 } })
    expect(result.reference?.agreement.maxAbsError).toBeLessThanOrEqual(1e-5)
    expect(named(result, 'full_int8').inputs?.[0]).toMatchObject({ name: 'picture', datatype: 'INT8' })
    expect(named(result, 'float32').parity?.accuracy?.original).toBeGreaterThan(0.9)
  })

  it('keeps eight golden inputs, and the answers of each variant, which differ', async () => {
    const inputs = decodeGoldenInputs(await readFile(result.goldenInputsPath))
    expect(inputs.tensors.map(({ name, dtype, shape }) => [name, dtype, shape])).toEqual([
      ['picture', 'float32', [8, 8, 8, 1]]
    ])
    for (const { variant, goldenOutputsPath } of result.variants) {
      const golden = decodeGoldenOutputs(await readFile(goldenOutputsPath ?? ''))
      expect(golden).toMatchObject({ variant, runtime: 'litert', count: 8 })
      const values = golden.outputs[0]?.values.data as Float32Array
      expect(new Set(values).size).toBeGreaterThan(2)
      const stored = golden.outputs[0]?.stored
      expect(stored !== undefined).toBe(variant === 'full_int8')
      if (stored === undefined) continue
      const dequantized = Array.from(stored.values.data as Int8Array, (q) =>
        Math.fround(stored.scale * (q - stored.zeroPoint))
      )
      expect(dequantized).toEqual(Array.from(values))
    }
  })

  it('leaves the variants and the goldens, and nothing else', async () => {
    const expected = VARIANT_NAMES.flatMap((name) => [`${name}.tflite`, `${name}.golden-outputs.bin`])
    const left = await readdir(path.dirname(result.goldenInputsPath))
    expect(left.sort()).toEqual([...expected, 'golden-inputs.bin'].sort())
  })

  it('reports progress that only grows, up to 100', () => {
    const percents = progress.map(({ percent }) => percent)
    expect(percents).toEqual([...percents].sort((a, b) => a - b))
    expect(percents.at(-1)).toBe(100)
    expect(new Set(percents).size).toBeGreaterThan(30)
  })
})

it('a variant calibrated on garbage is rejected', async () => {
  const result = await run({
    variants: ['full_int8'],
    calibrationPath: path.join(models, 'sides-garbage.npz'),
    evaluationPath: path.join(models, 'sides-evaluation.npz')
  })
  expect(named(result, 'full_int8')).toMatchObject({ state: 'rejected', parity: { passed: false } })
  expect(named(result, 'full_int8').reason).toMatch(/right: it is the same for every input|accuracy [\d.]+ -> [\d.]+/)
}, 60_000)

it('inputs and outputs keep their names when the converter changes their order', async () => {
  const result = await run(
    { sourcePath: path.join(models, 'pair.keras'), evaluationPath: path.join(models, 'pair-evaluation.npz') },
    { runtimes: ['litert', 'tfjs-tflite'] }
  )
  expect(result.names).toEqual({
    inputs: { zeta: 'zeta', 'alpha-1': 'input_tensor_1' },
    outputs: { second: 'second', first: 'first' }
  })
  expect(result.inputs.map(({ name }) => name)).toEqual(['zeta', 'alpha-1'])
  // All shapes are equal: a pair that is swapped anywhere on the way cannot reach 80 dB.
  expect(named(result, 'float32')).toMatchObject({ state: 'ready' })
  expect(named(result, 'float32').parity?.outputs.map(({ name }) => name)).toEqual(['second', 'first'])
  expect(named(result, 'float32').runtimes.map(({ parity }) => parity?.passed)).toEqual([true, true])
}, 60_000)

it('a constant original of Keras 2 format is inconclusive', async () => {
  const result = await run({
    sourcePath: path.join(models, 'constant.h5'),
    format: 'h5',
    evaluationPath: path.join(models, 'sides-evaluation.npz')
  })
  expect(named(result, 'float32')).toMatchObject({ state: 'inconclusive', parity: { passed: false } })
}, 60_000)

it('a SavedModel without evaluation data is converted and stays unproven; full_int8 warns of its calibration', async () => {
  const result = await run({
    sourcePath: path.join(models, 'doubler.tar.gz'),
    format: 'savedmodel',
    variants: ['float32', 'full_int8']
  })
  expect(result.reference?.name).toBe('tensorflow')
  expect(result.names).toEqual({ inputs: { numbers: 'numbers' }, outputs: { doubled: 'doubled' } })
  expect(named(result, 'float32')).toMatchObject({ state: 'unproven', parity: { data: 'generated' } })
  expect(result.warnings.join()).toMatch(/full_int8 calibrated on generated data/)
}, 60_000)

describe('a ready .tflite', () => {
  it('passes through, run and described and unproven', async () => {
    const made = await run({ evaluationPath: path.join(models, 'sides-evaluation.npz') })
    const sourcePath = named(made, 'float32').path ?? ''
    const result = await run({ sourcePath, format: 'tflite', variants: [] }, { python: '/nowhere' })
    const original = named(result, 'original')
    expect(original).toMatchObject({ state: 'unproven', sha256: named(made, 'float32').sha256 })
    expect(original.runtimes[0]).toMatchObject({ name: 'litert', runnable: true })
    expect(result.reference).toBeUndefined()

    const truncated = path.join(scratch, 'truncated.tflite')
    await writeFile(truncated, (await readFile(sourcePath)).subarray(0, 600))
    expect(await failure({ sourcePath: truncated, format: 'tflite' })).toMatchObject({ code: 'not-a-model' })
  }, 60_000)
})

describe('bad input', () => {
  const file = async (name: string, content: Uint8Array | string) => {
    const full = path.join(scratch, name)
    await writeFile(full, content)
    return full
  }
  // None of these may start Python, which takes seconds.
  const noPython = { python: '/nowhere/python' }

  it('what is not a model is refused before a converter is started', async () => {
    for (const content of ['', 'hello', 'PK', '\x1f\x8b\x08garbage', '<html></html>'.repeat(100)]) {
      const sourcePath = await file('not-a-model', Buffer.from(content, 'latin1'))
      expect(await failure({ sourcePath }, noPython)).toMatchObject({ code: 'not-a-model' })
    }
  })

  it('a truncated file is refused and called so', async () => {
    const whole = await readFile(path.join(models, 'sides.keras'))
    const sourcePath = await file('truncated.keras', whole.subarray(0, whole.length - 100))
    const error = await failure({ sourcePath }, noPython)
    expect(error).toMatchObject({ code: 'not-a-model' })
    expect(error.message).toContain('truncated')
  })

  it('a file of another format is refused with the format to send it as', async () => {
    const error = await failure({ sourcePath: path.join(models, 'constant.h5') }, noPython)
    expect(error).toMatchObject({ code: 'wrong-format' })
    expect(error.message).toContain('format h5')
    expect(await detectSourceFormat(path.join(models, 'doubler.tar.gz'))).toBe('savedmodel')
    expect(await detectSourceFormat(path.join(models, 'escape.zip'))).toBe('savedmodel')
    expect(await detectSourceFormat(path.join(models, 'sides.keras'))).toBe('keras')
  })

  it('a file that is damaged inside is not a model', async () => {
    expect(await failure({ sourcePath: path.join(models, 'damaged.keras') })).toMatchObject({ code: 'not-a-model' })
  }, 60_000)

  it('a Lambda layer is refused', async () => {
    expect(await failure({ sourcePath: path.join(models, 'lambda.keras') })).toMatchObject({ code: 'unsafe-model' })
  }, 60_000)

  it('archives with links or with paths that leave them are refused, and nothing is written outside', async () => {
    const link = { sourcePath: path.join(models, 'link.tar.gz'), format: 'savedmodel' } as const
    expect(await failure(link)).toMatchObject({ code: 'unsafe-archive' })
    const outside = { sourcePath: path.join(models, 'escape.zip'), format: 'savedmodel' } as const
    expect(await failure(outside)).toMatchObject({ code: 'unsafe-archive' })
    expect((await readdir(scratch)).filter((name) => name.includes('escaped'))).toEqual([])
  }, 60_000)

  it('evaluation data that does not fit the model is refused with what would', async () => {
    const error = await failure({ evaluationPath: path.join(models, 'sides-misshapen.npz') })
    expect(error).toMatchObject({ code: 'input-mismatch' })
    expect(error.message).toContain('[samples, 8, 8, 1] is needed')
  }, 60_000)

  it('a work directory in use is refused and left alone', async () => {
    const workDir = await mkdtemp(path.join(scratch, 'used-'))
    await copyFile(path.join(models, 'numbers.npz'), path.join(workDir, 'mine'))
    await expect(run({ workDir }, noPython)).rejects.toMatchObject({ code: 'work-dir-in-use' })
    expect(await readdir(workDir)).toEqual(['mine'])
  })
})

describe('a converter that misbehaves', () => {
  const script = async (name: string, body: string) => {
    const full = path.join(scratch, name)
    await writeFile(full, `#!/bin/sh\n${body}\n`)
    await chmod(full, 0o755)
    return full
  }
  const isGone = (pid: number) => {
    try {
      process.kill(pid, 0)
      return false
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'ESRCH'
    }
  }

  it('is killed with all it started at the time limit, and its last words are told', async () => {
    const pidFile = path.join(scratch, 'pid')
    const body = `sleep 600 & echo $! > ${pidFile}; echo stuck in pass 3 >&2; wait`
    const error = await failure({}, { python: await script('hangs', body), timeLimitMs: 1000 })
    expect(error).toMatchObject({ code: 'converter-timeout', lastLines: ['stuck in pass 3'] })
    expect(error.message).toContain('stuck in pass 3')
    // The child of the script is a child of init now, which reaps it when it likes.
    await expect.poll(async () => isGone(Number(await readFile(pidFile, 'utf8'))), { timeout: 10_000 }).toBe(true)
  })

  it('that crashes gives its last words', async () => {
    const body = 'echo loading >&2; echo Fatal error: pass 7 >&2; kill -SEGV $$'
    const error = await failure({}, { python: await script('crashes', body) })
    expect(error).toMatchObject({ code: 'converter-crashed', lastLines: ['loading', 'Fatal error: pass 7'] })
    expect(error.message).toContain('SIGSEGV')
  })

  it('that ends as if all were well without a result has crashed', async () => {
    expect(await failure({}, { python: await script('silent', 'exit 0') })).toMatchObject({ code: 'converter-crashed' })
  })

  it('that cannot be started is unavailable', async () => {
    expect(await failure({}, { python: '/nowhere/python' })).toMatchObject({ code: 'converter-unavailable' })
  })

  it('is ended when the caller cancels', async () => {
    const cancel = new AbortController()
    const deps = { signal: cancel.signal, onLog: () => cancel.abort() }
    const python = await script('cancelled', 'echo working >&2; sleep 600')
    expect(await failure({}, { python, ...deps })).toMatchObject({ code: 'conversion-cancelled' })
  })
})
