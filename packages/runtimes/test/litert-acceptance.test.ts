import { appendFile, copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startRuntime } from '../src/index.ts'
import {
  acceptLiteRt,
  knownLiteRtLibraries,
  type LiteRtBuild,
  type Machine,
  thisMachine
} from '../src/litert-acceptance.ts'
import { findLiteRt } from './python-reference.ts'

let library: string
let scratch: string
let changed: string

beforeAll(async () => {
  library = (await findLiteRt()).liteRtLibrary
  scratch = await mkdtemp(path.join(tmpdir(), 'skerry-acceptance-'))
  changed = path.join(scratch, 'libLiteRt.so')
  await copyFile(library, changed)
  await appendFile(changed, 'x')
})

afterAll(() => rm(scratch, { recursive: true }))

describe('acceptLiteRt', () => {
  it('knows the library that set-up installs', async () => {
    const { build } = await acceptLiteRt(library, thisMachine(), { allowUnknown: false })
    expect(build).toMatchObject({ version: '2.3.0', arch: process.arch })
  })

  const refused = async (machine: Partial<Machine>, change: Partial<LiteRtBuild>, reason: string) => {
    const { sha256 } = await acceptLiteRt(library, thisMachine(), { allowUnknown: true })
    const build = knownLiteRtLibraries.find((each) => each.sha256 === sha256)
    if (build === undefined) throw new Error('the installed library is not known')
    const options = { allowUnknown: true, known: [{ ...build, ...change }] }
    await expect(acceptLiteRt(library, { ...thisMachine(), ...machine }, options)).rejects.toMatchObject({
      code: 'runtime-unavailable',
      message: expect.stringContaining(reason)
    })
  }

  it('refuses a known library where it does not fit, even if unknown ones are allowed', async () => {
    await refused({ arch: 's390x' }, {}, 'this is s390x')
    await refused({ glibc: '2.31' }, { glibc: '2.34' }, 'needs glibc 2.34, and this machine has 2.31')
    await refused({ glibc: undefined }, {}, 'another C library')
    await refused({}, { structLayout: 0 }, 'struct layout 0')
  })

  it('compares glibc versions by number', async () => {
    await refused({ glibc: '2.4' }, { glibc: '2.27' }, 'this machine has 2.4')
  })
})

describe('startRuntime with a library that is not known', () => {
  it('refuses it by its hash', async () => {
    await expect(startRuntime('litert', { liteRtLibrary: changed })).rejects.toMatchObject({
      code: 'runtime-unavailable',
      message: expect.stringMatching(/sha256 [0-9a-f]{64}\) is not one that was tried/)
    })
  })

  it('runs it where that is allowed, and says so', async () => {
    const lines: string[] = []
    const options = { liteRtLibrary: changed, allowUnknownLiteRt: true, onStderr: (line: string) => lines.push(line) }
    const runtime = await startRuntime('litert', { ...options, version: 'own build' })
    expect(runtime.info).toMatchObject({ name: 'litert', version: 'own build' })
    expect(lines[0]).toMatch(/sha256 [0-9a-f]{64} is unknown/)
    await runtime.close()
  })
})
