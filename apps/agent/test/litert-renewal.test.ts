import { createHash } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { RuntimeLibrary } from '@skerry/contracts'
import type { LiteRtBuild } from '@skerry/runtimes'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { endpointsOf } from '../src/endpoints.ts'
import { HttpExchange } from '../src/http-exchange.ts'
import { LiteRtSource } from '../src/library/litert-source.ts'
import { selfTest } from '../src/library/self-test.ts'
import type { ControlPlane } from './control-plane.ts'
import { Fleet, liteRtLibrary } from './running-agent.ts'

const fleet = new Fleet()
const http = new HttpExchange()
const log = pino({ level: 'silent' })
afterEach(() => fleet.close())

// The declarations fit one library alone, so that these stand for libraries of other versions; only the hash counts here.
const files = { '2.9.0': Buffer.from('the older one'), '2.10.0': Buffer.from('the newer one') }
type Version = keyof typeof files
const sha256Of = (version: Version): string => createHash('sha256').update(files[version]).digest('hex')
const machine = { arch: process.arch, glibc: '2.40' }
const known: LiteRtBuild[] = (['2.9.0', '2.10.0'] as const).map((version) => ({
  ...{ sha256: sha256Of(version), version, arch: process.arch, glibc: '2.27', structLayout: 1 }
}))

let controlPlane: ControlPlane
let dataDir: string
let tried: string[]
/** What the self-test of a new library throws. */
let fault: Error | null

beforeEach(async () => {
  controlPlane = await fleet.controlPlane()
  dataDir = await fleet.dataDir()
  tried = []
  fault = null
  await run(await source(), '2.9.0')
})

const folder = (): string => join(dataDir, 'libraries')
const kept = async (): Promise<string[]> => (await readdir(folder())).sort()
const statedVersion = async (): Promise<string> =>
  JSON.parse(await readFile(join(folder(), 'litert.json'), 'utf8')).library.version

/** As at a start of the agent, the runtime included; `starts` is what becomes of the library's process. */
async function source(starts: (library: string) => boolean = () => true): Promise<LiteRtSource> {
  const self = async (path: string, version: string) => {
    tried.push(`${version} ${path === join(folder(), sha256Of(version as Version))}`)
    if (fault !== null) throw fault
  }
  const deps = { dataDir, machine, log, onPoint: () => undefined, known, selfTest: self }
  const liteRt = new LiteRtSource(deps)
  await liteRt.open(controlPlane.publicKey)
  if (liteRt.library === undefined) return liteRt
  await liteRt.watched('litert', async () => {
    if (!starts(liteRt.library ?? '')) throw new Error('it does not start')
  })
  return liteRt
}

/** As in a session with a control plane that offers these. */
function run(liteRt: LiteRtSource, ...versions: Version[]) {
  return runOffered(
    liteRt,
    versions.map((version) => offer(version))
  )
}

async function runOffered(liteRt: LiteRtSource, libraries: ControlPlane['libraries']) {
  controlPlane.libraries = libraries
  const token = controlPlane.issueHttpToken()
  const { libraries: url, blob } = endpointsOf(new URL(controlPlane.url))
  const controlPlanePublicKey = controlPlane.publicKey
  const deps = { http, libraries: url, blob, httpToken: () => token, controlPlanePublicKey }
  const rest = { random: () => 0, now: Date.now, onPoint: () => undefined }
  return liteRt.fetch({ ...deps, ...rest }, AbortSignal.timeout(10_000))
}

function offer(version: Version, signer: ControlPlane = controlPlane) {
  const library: RuntimeLibrary = {
    ...{ kind: 'runtime-library', runtime: 'litert', version, bytes: files[version].byteLength, arch: process.arch },
    sha256: controlPlane.addBlob(files[version]),
    libc: { name: 'glibc', version: '2.27' }
  }
  return { library, signature: signer.signManifest(library) }
}

describe('a newer LiteRT library from the control plane', () => {
  it('is tried beside the kept one, used from the next start on, and the old one goes when it has started', async () => {
    const first = await source()
    expect(await run(first, '2.10.0', '2.9.0')).toBe('nothing-new')
    expect(tried).toEqual(['2.10.0 true'])
    // What runs runs on.
    expect(first.version).toBe('2.9.0')
    expect(await kept()).toEqual([sha256Of('2.10.0'), sha256Of('2.9.0'), 'litert.json', 'litert.previous.json'].sort())
    const second = await source()
    expect([second.version, second.library]).toEqual(['2.10.0', join(folder(), sha256Of('2.10.0'))])
    expect(second.unavailable()).toEqual({})
    expect(await kept()).toEqual([sha256Of('2.10.0'), 'litert.json'].sort())
    const requests = controlPlane.blobRequests.length
    await run(second, '2.10.0', '2.9.0')
    expect(controlPlane.blobRequests.length).toBe(requests)
    expect(tried).toHaveLength(1)
  })

  it('leaves the kept one where it fails its self-test, and says so, without a second transfer', async () => {
    fault = new Error('it computes wrongly')
    const first = await source()
    expect(await run(first, '2.10.0')).toBe('reason-changed')
    expect(first.unavailable().unavailableRuntimes?.[0]?.reason).toBe('LiteRT 2.9.0 stays: it computes wrongly')
    expect(await statedVersion()).toBe('2.9.0')
    expect(await run(first, '2.10.0')).toBe('nothing-new')
    const again = await source()
    expect(again.version).toBe('2.9.0')
    expect(tried).toHaveLength(1)
  })

  it('leaves the kept one where it is not signed, not known, or of another hash', async () => {
    const stranger = await fleet.controlPlane()
    const first = await source()
    await runOffered(first, [offer('2.10.0', stranger)])
    expect(first.unavailable().unavailableRuntimes?.[0]?.reason).toMatch(
      /2\.9\.0 stays: .* is not signed by the control/
    )
    const second = await source()
    const forged = offer('2.10.0')
    controlPlane.blobs.set(forged.library.sha256, Buffer.from('the newer onf'))
    await runOffered(second, [forged])
    expect(second.unavailable().unavailableRuntimes?.[0]?.reason).toMatch(/2\.9\.0 stays: .*another hash/)
    expect([tried, await statedVersion()]).toEqual([[], '2.9.0'])
  })

  it('gives way to the one before where it does not start at the next start, or its file was damaged', async () => {
    await run(await source(), '2.10.0')
    const second = await source((library) => !library.endsWith(sha256Of('2.10.0')))
    expect(second.version).toBe('2.9.0')
    expect(second.unavailable().unavailableRuntimes?.[0]?.reason).toBe('LiteRT 2.9.0 is used again: it does not start')
    expect(await kept()).toEqual([sha256Of('2.9.0'), 'litert.json'].sort())
    await run(second, '2.10.0')
    await writeFile(join(folder(), sha256Of('2.10.0')), 'damaged')
    const third = await source()
    expect([third.version, await statedVersion()]).toEqual(['2.9.0', '2.9.0'])
  })

  it('is not one where it is older, for another machine, or the kept one itself', async () => {
    const newest = await source()
    await run(newest, '2.10.0')
    const second = await source()
    expect(await run(second, '2.9.0')).toBe('nothing-new')
    const foreign = offer('2.10.0')
    expect(await runOffered(await source(), [{ ...foreign, library: { ...foreign.library, arch: 'riscv64' } }])).toBe(
      'nothing-new'
    )
    expect(await statedVersion()).toBe('2.10.0')
    expect(tried).toHaveLength(1)
  })
})

describe('the self-test of a library', () => {
  it('passes the real one, and none that does not load', async ({ skip }) => {
    if (liteRtLibrary === undefined) return skip('set-up has not run: there is no LiteRT')
    await selfTest(liteRtLibrary, '2.3.0', log)
    const broken = join(dataDir, 'broken.so')
    await writeFile(broken, 'no library')
    await expect(selfTest(broken, '2.4.0', log)).rejects.toThrow(/LiteRT 2\.4\.0 does not pass its self-test/)
  })
})
