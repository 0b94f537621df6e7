import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { rankingModel, rankRuntimes, startRuntime } from '../src/index.ts'
import { findLiteRt } from './python-reference.ts'

let scratch: string

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-unavailable-'))
})

afterAll(() => rm(scratch, { recursive: true }))

const quick = { warmupRuns: 1, warmupDurationMs: 0, runs: 3, durationMs: 0 }

describe('a runtime that does not run here', () => {
  it('leaves WASM and its own reason, when it is a LiteRT library that is refused', async () => {
    const library = path.join(scratch, 'libLiteRt.so')
    await writeFile(library, 'no library')
    const ranked = await rankRuntimes(rankingModel(), (name) => startRuntime(name, { liteRtLibrary: library }), {
      ...quick,
      candidates: ['litert', 'tfjs-tflite']
    })
    expect(ranked).toMatchObject([
      { info: { name: 'tfjs-tflite' } },
      { name: 'litert', reason: expect.stringMatching(/sha256 [0-9a-f]{64}\) is not one that was tried/) }
    ])
  })

  it('says so, when it is an optional package that is not installed', async () => {
    // The child finds the package where Node does; this hook stands for an installation without it.
    const absent = path.join(scratch, 'absent.cjs')
    await writeFile(
      absent,
      `const module_ = require('node:module')
      const resolve = module_._resolveFilename
      module_._resolveFilename = (request, ...rest) => {
        if (request.startsWith('tfjs-tflite-node')) throw Object.assign(new Error(request), { code: 'MODULE_NOT_FOUND' })
        return resolve(request, ...rest)
      }`
    )
    const launcher = { command: process.execPath, args: ['--require', absent] }
    await expect(startRuntime('tfjs-tflite-node', { launcher })).rejects.toMatchObject({
      code: 'runtime-unavailable',
      message: expect.stringContaining('the optional package tfjs-tflite-node is not installed')
    })
  })
})

it('ranks every runtime by what it measured', async () => {
  const library = await findLiteRt()
  const ranked = await rankRuntimes(rankingModel(), (name) => startRuntime(name, library), quick)
  const times = ranked.map((each) => ('profile' in each ? each.profile.steady.p50Ms : Number.NaN))
  expect(times).toEqual([...times].sort((a, b) => a - b))
  expect(times).toHaveLength(3)
})
