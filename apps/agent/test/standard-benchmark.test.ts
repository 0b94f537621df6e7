import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { RuntimeBenchmark, type RuntimeName } from '@skerry/contracts'
import { startRuntime, type TfliteRuntime } from '@skerry/runtimes'
import { pino } from 'pino'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type RuntimeProbe, StandardBenchmark } from '../src/capacity/standard-benchmark.ts'
import { SystemFiles } from '../src/system/system-files.ts'
import { Fleet } from './running-agent.ts'
import { SystemTree } from './system-tree.ts'

const log = pino({ level: 'silent' })
const limits = { 'proc/self/cgroup': '0::/', 'etc/os-release': 'PRETTY_NAME="Debian 12"' }
let scratch: string
let path: string
let library: string
let tree: SystemTree
let started: RuntimeName[]
let nowMs: number

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'skerry-standard-'))
  path = join(scratch, 'runtimes.json')
  library = join(scratch, 'libLiteRt.so')
  await writeFile(library, 'one build')
  tree = await SystemTree.make(limits)
  started = []
  nowMs = 1_764_000_000_000
})
afterEach(async () => {
  await tree.remove()
  await rm(scratch, { recursive: true, force: true })
})

/** WASM, under either name: it runs everywhere, and what is measured does not matter here. */
async function start(name: RuntimeName): Promise<TfliteRuntime> {
  started.push(name)
  const runtime = await startRuntime('tfjs-tflite', {})
  return new Proxy(runtime, {
    get: (target, key) => {
      if (key === 'info') return { name, version: '1' }
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    }
  })
}

const open = () => StandardBenchmark.open({ path, files: new SystemFiles(tree.root), now: () => nowMs++, log })

/** As a start of the agent would; answers which runtimes it had to start for it. */
async function probe(changes: Partial<RuntimeProbe> = {}): Promise<RuntimeName[]> {
  started = []
  const benchmark = await open()
  const found = await benchmark.probe({
    wanted: 'litert',
    library,
    version: '1',
    threads: 1,
    start,
    missing: () => null,
    ...changes
  })
  for (const result of benchmark.of(found)) expect(Value.Errors(RuntimeBenchmark, result)).toEqual([])
  expect(benchmark.of(found)).toMatchObject(found)
  return started
}

describe('the standard benchmark', () => {
  it('is taken once: the next start with the same keys starts no runtime and has the same result', async () => {
    expect(await probe()).toEqual(['litert'])
    const kept = await readFile(path, 'utf8')
    expect(await probe()).toEqual([])
    expect(await readFile(path, 'utf8')).toBe(kept)
    expect(JSON.parse(kept)).toMatchObject([
      {
        result: {
          name: 'litert',
          threads: 1,
          float32: { p50Ms: expect.any(Number) },
          int8: { p50Ms: expect.any(Number) }
        }
      }
    ])
  })

  it('is taken anew for another version, another file, other threads, another system and other limits', async () => {
    await probe()
    expect(await probe({ version: '2' })).toEqual(['litert'])
    await writeFile(library, 'another build')
    expect(await probe({ version: '2' })).toEqual(['litert'])
    expect(await probe({ version: '2', threads: 2 })).toEqual(['litert'])
    await tree.write({ 'etc/os-release': 'PRETTY_NAME="Debian 13"' })
    expect(await probe({ version: '2', threads: 2 })).toEqual(['litert'])
    await tree.write({ 'sys/fs/cgroup/cpu.max': '100000 100000' })
    expect(await probe({ version: '2', threads: 2 })).toEqual(['litert'])
    await tree.write({ 'sys/fs/cgroup/memory.max': 1024 ** 3 })
    expect(await probe({ version: '2', threads: 2 })).toEqual(['litert'])
    expect(await probe({ version: '2', threads: 2 })).toEqual([])
  })

  it('measures only the runtime that is new, and puts the faster one first whichever it is', async () => {
    expect(await probe({ wanted: 'tfjs-tflite' })).toEqual(['tfjs-tflite'])
    const [entry] = JSON.parse(await readFile(path, 'utf8'))
    for (const [p50Ms, first] of [
      [0, 'tfjs-tflite'],
      [1e9, 'litert']
    ] as const) {
      entry.result.float32.p50Ms = p50Ms
      await writeFile(path, JSON.stringify([entry]))
      const benchmark = await open()
      started = []
      const options = {
        wanted: 'auto' as const,
        library,
        version: '1',
        threads: 1,
        start: onlyTwo,
        missing: () => null
      }
      const found = await benchmark.probe(options)
      expect(started).not.toContain('tfjs-tflite')
      expect(started).toContain('litert')
      expect(found[0]?.name).toBe(first)
    }
  })

  it('is taken anew where its file is damaged, or where the runtime did not start since', async () => {
    await probe()
    await writeFile(path, (await readFile(path, 'utf8')).slice(0, 100))
    expect(await probe()).toEqual(['litert'])
    await writeFile(path, '{"litert": "fast"}')
    expect(await probe()).toEqual(['litert'])
    await (await open()).forget('litert')
    expect(await probe()).toEqual(['litert'])
  })

  it('keeps nothing of a runtime that does not start, and says why there is none', async () => {
    const failing = () => startRuntime('litert', { liteRtLibrary: library })
    for (let twice = 0; twice < 2; twice++) {
      await expect(probe({ start: failing })).rejects.toMatchObject({
        code: 'no-runtime',
        message: expect.stringContaining('is not one that was tried')
      })
    }
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual([])
  })
})

function onlyTwo(name: RuntimeName): Promise<TfliteRuntime> {
  return name === 'tfjs-tflite-node' ? startRuntime('litert', {}) : start(name)
}

describe('an agent', () => {
  const fleet = new Fleet()
  afterEach(() => fleet.close())

  it('tells the benchmark at enrolment and in its facts, and a restart measures nothing', async () => {
    const { controlPlane, agent, options, dataDir } = await fleet.join()
    const benchmark = controlPlane.enrolled[0]?.facts.benchmark
    expect(benchmark).toMatchObject([{ name: 'tfjs-tflite', float32: { p50Ms: expect.any(Number) } }])
    await agent.stop()
    const kept = await readFile(join(dataDir, 'runtimes.json'), 'utf8')
    await fleet.run(options)
    await controlPlane.session(2)
    const hellos = controlPlane.received.flatMap(({ frame }) => (frame.type === 'hello' ? [frame.facts.benchmark] : []))
    expect(hellos).toEqual([benchmark, benchmark])
    expect(await readFile(join(dataDir, 'runtimes.json'), 'utf8')).toBe(kept)
  })
})
