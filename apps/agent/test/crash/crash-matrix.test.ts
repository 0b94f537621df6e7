import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, readFile, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { RuntimeLibrary } from '@skerry/contracts'
import { Histogram } from '@skerry/telemetry'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { placeSection, sectionOf } from '../../../../packages/model-zoo/src/markdown.ts'
import type { AgentPoint } from '../../src/agent-point.ts'
import { assignInference } from '../assignments.ts'
import { liteRtLibrary } from '../running-agent.ts'
import { CrashScene, model } from './crash-scene.ts'
import { crashTable, type MatrixRow } from './crash-table.ts'
import { diskState } from './disk-state.ts'

const documentation = fileURLToPath(new URL('../../../../docs/agent.md', import.meta.url))
/** Set by scripts/crash-matrix.mjs. */
const writes = process.env.SKERRY_WRITE_CRASH_MATRIX === '1'

// Each row starts three to five processes, on a small device or a busy machine too.
vi.setConfig({ testTimeout: 120_000 })

const matrix: MatrixRow[] = []
let scene: CrashScene

beforeEach(async () => {
  scene = await CrashScene.open(await mkdtemp(join(tmpdir(), 'skerry-crash-')))
})
afterEach(() => scene.close())

describe('an agent killed while it joins', () => {
  it.each<[AgentPoint, string]>([
    ['enrolled', 'enrolled, nothing kept yet'],
    ['identity-written', 'identity written, not yet under its name'],
    ['identity-saved', 'identity kept']
  ])('at %s has joined or has not', async (point, when) => {
    const { controlPlane, dataDir } = scene
    const found = await scene.killedAtPoint(scene.start(point))
    const again = scene.start()
    let next = 'connects as the device that joined'
    if (found.identity === 'whole') await controlPlane.session(1)
    else {
      expect(await again.lastWords()).toMatch(/token is unknown, used up/)
      controlPlane.tokens.add('another')
      scene.start(undefined, { token: 'another' })
      await controlPlane.session(1)
      next = 'says that its token is used up; with another one it joins as a new device'
    }
    expect(controlPlane.enrolled).toHaveLength(found.identity === 'whole' ? 1 : 2)
    expect((await diskState(dataDir)).identity).toBe('whole')
    matrix.push({ step: 'join', when, found: `identity: ${found.identity}`, next })
  })
})

describe('an agent killed while it changes its key', () => {
  it.each<[AgentPoint, string]>([
    ['key-next-written', 'new key written, not yet under the name'],
    ['key-next-saved', 'both keys kept, new one not yet offered'],
    ['key-taken', 'the control plane took the new key'],
    ['key-written', 'new key alone written, not yet under the name'],
    ['key-saved', 'new key alone kept']
  ])('at %s connects, and has one key in the end', async (point, when) => {
    const { controlPlane, dataDir } = scene
    const agent = scene.start(point)
    await controlPlane.session(1)
    controlPlane.send({ type: 'rotate-key' })
    const found = await scene.killedAtPoint(agent)
    const old = controlPlane.enrolled[0]?.publicKey
    const keys = found.keys.map((key) => (key === old ? 'old' : 'new')).join(' and ')
    const rotated = controlPlane.rotated.length
    await scene.restart()
    let next = 'connects with the new key'
    if (keys === 'old') {
      next = 'connects with the old key; the wish is forgotten'
      await controlPlane.frame('heartbeat', (_, { session }) => session > 1)
      expect(controlPlane.rotated).toEqual([])
      controlPlane.send({ type: 'rotate-key' })
    } else if (rotated === 0) next = 'connects with the old key, and has the new one taken'
    else if (controlPlane.unproven > 0) next = 'is refused with the old key, and connects with the new one'
    await expect.poll(() => controlPlane.rotated.length).toBe(1)
    const [taken] = controlPlane.rotated
    if (found.keys.length === 2) expect(found.keys[1]).toBe(taken?.publicKey)
    await expect.poll(async () => (await diskState(dataDir)).keys).toEqual([taken?.publicKey])
    expect((await diskState(dataDir)).identity).toBe('whole')
    const unfinished = found.identity === 'temporary' ? ', a temporary file' : ''
    matrix.push({ step: 'key', when, found: `keys: ${keys}${unfinished}`, next })
  })
})

describe('an agent killed while it is configured', () => {
  it.each<[AgentPoint, string]>([
    ['config-written', 'settings written, not yet under their name'],
    ['config-saved', 'settings kept, not yet answered']
  ])('at %s has all of it or none, and answers what it is sent again', async (point, when) => {
    const { controlPlane, dataDir } = scene
    const agent = scene.start(point)
    await controlPlane.session(1)
    controlPlane.send({ type: 'config', revision: 1, config: { slots: 2 } })
    const found = await scene.killedAtPoint(agent)
    const session = await scene.restart()
    const { frame } = await controlPlane.frame('hello', (_, received) => received.session === session)
    expect(frame.slots.infer).toBe(found.config === 'whole' ? 2 : 1)
    controlPlane.send({ type: 'config', revision: 1, config: { slots: 2 } })
    const { applied } = (await controlPlane.frame('config-report', ({ revision }) => revision === 1)).frame
    expect(applied.slots).toBe(2)
    await expect.poll(async () => (await diskState(dataDir)).config).toBe('whole')
    const start = found.config === 'whole' ? 'starts with them' : 'starts without them'
    const next = `${start}; the control plane sends them again`
    matrix.push({ step: 'configure', when, found: `settings: ${found.config}`, next })
  })
})

describe.skipIf(liteRtLibrary === undefined)('an agent killed while it fetches a library', () => {
  it.each<[AgentPoint, string]>([
    ['fetch-piece', 'in the middle of the file'],
    ['library-fetched', 'file kept, not yet tried'],
    ['library-written', 'its statement written, not yet under its name'],
    ['library-saved', 'file and statement kept']
  ])('at %s has a part or the whole, and runs it after its restart', async (point, when) => {
    const { controlPlane, dataDir } = scene
    const { sha256 } = offerLibrary()
    const found = await scene.killedAtPoint(scene.start(point, { runtime: 'auto' }))
    const partBytes = found.library === 'part' ? (await stat(join(dataDir, 'libraries', `${sha256}.part`))).size : 0
    controlPlane.blobRequests.length = 0
    await scene.restart()
    const hasLiteRt = ({ facts }: { facts: { runtimes: { name: string }[] } }): boolean =>
      facts.runtimes.some(({ name }) => name === 'litert')
    const { frame } = await controlPlane.frame('hello', (_, { session }) => session > 1)
    const atStart = hasLiteRt(frame)
    if (!atStart) await controlPlane.frame('facts', hasLiteRt)
    expect((await diskState(dataDir)).library).toBe('whole, with its statement')
    const fetches = fetchWords(
      controlPlane.blobRequests.map(({ range }) => range),
      partBytes
    )
    const next = atStart ? 'starts with LiteRT' : `${fetches}; tries it, and has LiteRT in its first session`
    matrix.push({ step: 'library', when, found: `library: ${found.library}`, next })
  })
})

describe('an agent killed while it brings a model into service', () => {
  it.each<[AgentPoint, string, string]>([
    ['fetch-opened', 'fetch', 'before the first byte'],
    ['fetch-piece', 'fetch', 'in the middle of the file'],
    ['fetch-whole', 'fetch', 'last byte written, before fsync'],
    ['fetch-synced', 'fetch', 'after fsync, before the rename'],
    ['fetch-renamed', 'fetch', 'after the rename'],
    ['verify', 'verify', 'before'],
    ['verified', 'verify', 'after'],
    ['load', 'load', 'before'],
    ['loaded', 'load', 'after'],
    ['check', 'check', 'before'],
    ['checked', 'check', 'after'],
    ['ready', 'ready', 'reported']
  ])('at %s has a part or the whole file, and serves after its restart', async (point, step, when) => {
    const { controlPlane, wish, dataDir } = scene
    controlPlane.desired = [wish]
    const found = await scene.killedAtPoint(scene.start(point))
    controlPlane.blobRequests.length = 0
    const session = await scene.restart()
    await scene.ready(session)
    expect(await diskState(dataDir)).toMatchObject({ identity: 'whole', model: 'whole', partBytes: 0 })
    const fetches = controlPlane.blobRequests.map(({ range }) => range)
    // It may have begun before its session: what it should serve is on its disk.
    const steps = ['verified', 'loaded', 'checked', 'ready']
    await expect.poll(() => scene.points()).toEqual(expect.arrayContaining(steps))
    const job = assignInference(controlPlane, { artifact: wish.artifact, model, inline: true })
    expect((await controlPlane.result(job)).frame.error).toBeUndefined()
    const next = `${fetchWords(fetches, found.partBytes)}; verifies, loads, checks, serves`
    matrix.push({ step, when, found: `file: ${found.model}`, next })
  })

  it.each<[AgentPoint, string]>([
    ['evict', 'before the file goes'],
    ['evicted', 'after']
  ])('or out of it, at %s, has the whole file or none', async (point, when) => {
    const { controlPlane, wish, dataDir } = scene
    controlPlane.desired = [wish]
    const agent = scene.start(point)
    await scene.ready(1)
    controlPlane.desired = []
    controlPlane.send({ type: 'desired', artifacts: [] })
    const found = await scene.killedAtPoint(agent)
    controlPlane.blobRequests.length = 0
    await scene.restart()
    await expect.poll(async () => (await diskState(dataDir)).model).toBe('none')
    expect(controlPlane.blobRequests).toEqual([])
    const next = found.model === 'none' ? 'has nothing to evict' : 'evicts it'
    matrix.push({ step: 'evict', when, found: `file: ${found.model}`, next })
  })
})

describe('an agent killed with a job in hand', () => {
  it.each<[AgentPoint, 'inference' | 'benchmark', string]>([
    ['job-assigned', 'inference', 'assigned'],
    ['job-running', 'inference', 'running'],
    ['result-written', 'inference', 'result written, not yet under its name'],
    ['result-written', 'benchmark', 'result written and fsynced, not yet under its name'],
    ['result-journaled', 'inference', 'result kept, not yet sent'],
    ['result-journaled', 'benchmark', 'result kept, not yet sent'],
    ['result-sent', 'inference', 'result sent, not acknowledged'],
    ['result-acknowledged', 'inference', 'acknowledged, result still kept']
  ])('at %s of an %s answers it once', async (point, kind, when) => {
    const { controlPlane, wish, dataDir } = scene
    controlPlane.desired = [wish]
    const agent = scene.start(point)
    await scene.ready(1)
    const jobId = randomUUID()
    assign(kind, jobId, 1)
    if (point === 'result-acknowledged') controlPlane.ack((await controlPlane.result(jobId)).frame)
    const found = await scene.killedAtPoint(agent)
    const session = await scene.restart()
    const hello = await controlPlane.frame('hello', (_, received) => received.session === session)
    let next = 'does not know the job, which runs again in a new epoch'
    if (hello.frame.holding.some((held) => held.jobId === jobId)) {
      await resultIn(session, jobId)
      // Neither acknowledged: it goes out in each session.
      controlPlane.cut()
      await resultIn(session + 1, jobId)
      controlPlane.ack({ jobId, epoch: 1 }, point === 'result-acknowledged' ? 'stale' : 'accepted')
      next = 'sends the same result in each session until it is acknowledged'
    } else {
      assign(kind, jobId, 2)
      await controlPlane.result(jobId, 2)
      controlPlane.ack({ jobId, epoch: 2 })
    }
    await expect.poll(async () => (await diskState(dataDir)).result).toBe('none')
    const results = controlPlane.received.flatMap(({ frame }) =>
      frame.type === 'result' && frame.jobId === jobId ? [frame] : []
    )
    for (const result of results) expect(result).toEqual(results[0])
    expect(results[0]?.error).toBeUndefined()
    matrix.push({ step: kind, when, found: `result: ${found.result}`, next })
  })

  it.each<[AgentPoint, string]>([
    ['result-acknowledged', 'measured, frame not yet sent'],
    ['latency-sent', 'frame sent, not acknowledged'],
    ['latency-acknowledged', 'frame acknowledged']
  ])('counts no measurement twice at %s', async (point, when) => {
    const { controlPlane, wish } = scene
    controlPlane.desired = [wish]
    const agent = scene.start(point)
    await scene.ready(1)
    await inferOnce()
    if (point !== 'result-acknowledged') {
      const { frame } = await controlPlane.frame('latency')
      if (point === 'latency-acknowledged') controlPlane.send({ type: 'latency-ack', seq: frame.seq })
    }
    await scene.killedAtPoint(agent)
    const session = await scene.restart()
    await scene.ready(session)
    await inferOnce()
    await controlPlane.frame('latency', (_, received) => received.session === session)
    const counts = new Map(
      controlPlane.received.flatMap(({ frame }) =>
        frame.type === 'latency' ? [[frame.seq, countOf(frame.series)]] : []
      )
    )
    const counted = [...counts.values()].reduce((sum, count) => sum + count, 0)
    const next = { 1: 'the measurement is lost', 2: 'it counts once; the next frame has another number' }[counted]
    expect(next).toBeDefined()
    matrix.push({ step: 'latency', when, found: 'nothing of it', next: next ?? '' })
  })
})

describe('docs/agent.md', () => {
  it('shows what these tests found', async ({ skip }) => {
    if (liteRtLibrary === undefined) return skip('set-up has not run: there is no LiteRT')
    const text = await readFile(documentation, 'utf8')
    if (writes) await writeFile(documentation, placeSection(text, 'crash', crashTable(matrix)))
    else expect(sectionOf(text, 'crash')).toBe(crashTable(matrix))
  })
})

/** What set-up fetched: the only one that agents know. */
function offerLibrary(): RuntimeLibrary {
  const { controlPlane } = scene
  const bytes = readFileSync(liteRtLibrary ?? '')
  const library: RuntimeLibrary = {
    kind: 'runtime-library',
    runtime: 'litert',
    version: '2.3.0',
    sha256: controlPlane.addBlob(bytes),
    bytes: bytes.byteLength,
    arch: process.arch,
    libc: { name: 'glibc', version: '2.27' }
  }
  controlPlane.libraries = [{ library, signature: controlPlane.signManifest(library) }]
  return library
}

function assign(kind: 'inference' | 'benchmark', jobId: string, epoch: number): void {
  const { controlPlane, wish } = scene
  const { artifact, runtime, manifest, signature } = wish
  if (kind === 'inference') assignInference(controlPlane, { artifact, model, inline: true, jobId, epoch })
  else {
    const work = { kind, artifact, runtime, manifest, signature, warmupRuns: 1, runs: 2 } as const
    controlPlane.send({ type: 'assign', jobId, epoch, work })
  }
}

async function inferOnce(): Promise<void> {
  const { controlPlane, wish } = scene
  const jobId = assignInference(controlPlane, { artifact: wish.artifact, model, inline: true })
  controlPlane.ack((await controlPlane.result(jobId)).frame)
}

async function resultIn(session: number, jobId: string): Promise<void> {
  await scene.controlPlane.frame('result', (frame, received) => frame.jobId === jobId && received.session === session)
}

function countOf(series: readonly { histogram: unknown }[]): number {
  return series.reduce((sum, { histogram }) => sum + Histogram.fromJSON(histogram).count, 0)
}

function fetchWords(ranges: readonly (string | undefined)[], partBytes: number): string {
  if (ranges.length === 0) return 'fetches nothing'
  expect(ranges).toHaveLength(1)
  if (ranges[0] === undefined) return 'fetches from the first byte'
  expect(ranges[0]).toBe(`bytes=${partBytes}-`)
  return 'fetches the rest'
}
