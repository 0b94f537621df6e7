import { execFile } from 'node:child_process'
import { chmod, copyFile, mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { detectSourceFormat } from '../src/index.ts'
import { type Bench, named, openBench } from './conversion-bench.ts'

let bench: Bench
let models: string
let scratch: string
beforeAll(async () => {
  bench = await openBench()
  models = bench.models
  scratch = bench.scratch
}, 60_000)
afterAll(() => bench.close())

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
      expect(await bench.failure({ sourcePath }, noPython)).toMatchObject({ code: 'not-a-model' })
    }
  })

  it('a truncated file is refused and called so', async () => {
    const whole = await readFile(path.join(models, 'sides.keras'))
    const sourcePath = await file('truncated.keras', whole.subarray(0, whole.length - 100))
    const error = await bench.failure({ sourcePath }, noPython)
    expect(error).toMatchObject({ code: 'not-a-model' })
    expect(error.message).toContain('truncated')
  })

  it('a file of another format is refused with the format to send it as', async () => {
    const error = await bench.failure({ sourcePath: path.join(models, 'constant.h5') }, noPython)
    expect(error).toMatchObject({ code: 'wrong-format' })
    expect(error.message).toContain('format h5')
    expect(await detectSourceFormat(path.join(models, 'doubler.tar.gz'))).toBe('savedmodel')
    expect(await detectSourceFormat(path.join(models, 'escape.zip'))).toBe('savedmodel')
    expect(await detectSourceFormat(path.join(models, 'sides.keras'))).toBe('keras')
  })

  it('a file that is damaged inside is not a model', async () => {
    expect(await bench.failure({ sourcePath: path.join(models, 'damaged.keras') })).toMatchObject({
      code: 'not-a-model'
    })
  }, 60_000)

  it('a Lambda layer is refused', async () => {
    expect(await bench.failure({ sourcePath: path.join(models, 'lambda.keras') })).toMatchObject({
      code: 'unsafe-model'
    })
  }, 60_000)

  it('archives with links or with paths that leave them are refused, and nothing is written outside', async () => {
    const link = { sourcePath: path.join(models, 'link.tar.gz'), format: 'savedmodel' } as const
    expect(await bench.failure(link)).toMatchObject({ code: 'unsafe-archive' })
    const outside = { sourcePath: path.join(models, 'escape.zip'), format: 'savedmodel' } as const
    expect(await bench.failure(outside)).toMatchObject({ code: 'unsafe-archive' })
    expect((await readdir(scratch)).filter((name) => name.includes('escaped'))).toEqual([])
  }, 60_000)

  it('operators that write files are refused before any of the model runs', async () => {
    for (const name of ['writer', 'saver']) {
      const sourcePath = path.join(models, `${name}.tar.gz`)
      expect(await bench.failure({ sourcePath, format: 'savedmodel' }), name).toMatchObject({ code: 'unsafe-model' })
    }
    expect((await readdir('/tmp')).filter((name) => name.startsWith('skerry-unsafe-model'))).toEqual([])
  }, 60_000)

  it('evaluation data that does not fit the model is refused with what would', async () => {
    const error = await bench.failure({ evaluationPath: path.join(models, 'sides-misshapen.npz') })
    expect(error).toMatchObject({ code: 'input-mismatch' })
    expect(error.message).toContain('[samples, 8, 8, 1] is needed')
  }, 60_000)

  it('a work directory in use is refused and left alone', async () => {
    const workDir = await mkdtemp(path.join(scratch, 'used-'))
    await copyFile(path.join(models, 'numbers.npz'), path.join(workDir, 'mine'))
    await expect(bench.run({ workDir }, noPython)).rejects.toMatchObject({ code: 'work-dir-in-use' })
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
  /** A line for a script to start a process of its own, and what comes true when none of that kind is left. */
  const grandchild = async (name: string) => {
    const fifo = path.join(scratch, name)
    await promisify(execFile)('mkfifo', [fifo])
    // A pipe ends when nobody is left that could write to it, whether or not the dead were collected.
    const gone = readFile(fifo)
    // Opened before there is a child: one that is killed before it opened it would leave the reader waiting.
    return { start: `exec 3> ${fifo}; sleep 600 &`, gone }
  }

  it('is killed with all it started at the time limit, and its last words are told', async () => {
    const { start, gone } = await grandchild('at-the-limit')
    const body = `${start} echo stuck in pass 3 >&2; wait`
    const error = await bench.failure({}, { python: await script('hangs', body), timeLimitMs: 1000 })
    expect(error).toMatchObject({ code: 'converter-timeout', lastLines: ['stuck in pass 3'] })
    expect(error.message).toContain('stuck in pass 3')
    await gone
  })

  it('that crashes gives its last words, and what it started does not outlive it', async () => {
    const { start, gone } = await grandchild('at-the-crash')
    const body = `${start} echo loading >&2; echo Fatal error: pass 7 >&2; kill -SEGV $$`
    const error = await bench.failure({}, { python: await script('crashes', body) })
    expect(error).toMatchObject({ code: 'converter-crashed', lastLines: ['loading', 'Fatal error: pass 7'] })
    expect(error.message).toContain('SIGSEGV')
    await gone
  })

  it('that ends as if all were well without a result has crashed', async () => {
    expect(await bench.failure({}, { python: await script('silent', 'exit 0') })).toMatchObject({
      code: 'converter-crashed'
    })
  })

  it('that cannot be started is unavailable', async () => {
    expect(await bench.failure({}, { python: '/nowhere/python' })).toMatchObject({ code: 'converter-unavailable' })
  })

  it('is ended with all it started when the caller cancels', async () => {
    const { start, gone } = await grandchild('at-the-cancel')
    const cancel = new AbortController()
    const deps = { signal: cancel.signal, onLog: (line: string) => line === 'working' && cancel.abort() }
    const python = await script('cancelled', `${start} echo working >&2; sleep 600`)
    expect(await bench.failure({}, { python, ...deps })).toMatchObject({ code: 'conversion-cancelled' })
    await gone
  })

  it('gets nothing of our environment', async () => {
    const seen = path.join(scratch, 'environment')
    process.env.SKERRY_TEST_SECRET = 'secret'
    try {
      await bench.failure({}, { python: await script('environment', `env > ${seen}; exit 1`) })
    } finally {
      delete process.env.SKERRY_TEST_SECRET
    }
    const names = (await readFile(seen, 'utf8')).split('\n').map((line) => line.split('=')[0])
    const ours = ['PATH', 'LANG', 'PYTHONUTF8', 'PYTHONPATH', 'HOME', 'KERAS_HOME', 'TMPDIR']
    const shells = ['PWD', 'OLDPWD', 'SHLVL', '_', '']
    expect(names.filter((name) => !shells.includes(name ?? '')).sort()).toEqual(ours.sort())
  })

  it('that dies of one variant makes the others', async () => {
    const result = await bench.run({
      sourcePath: path.join(models, 'lstm.keras'),
      variants: ['float32', 'full_int8', 'float16']
    })
    expect(result.variants.map(({ variant, state }) => [variant, state])).toEqual([
      ['float32', 'unproven'],
      ['full_int8', 'failed'],
      ['float16', 'unproven']
    ])
    expect(named(result, 'full_int8').reason).toContain('SIGSEGV')
    expect(result.warnings.filter((warning) => warning.includes('generated data'))).toHaveLength(1)
  }, 60_000)
})
