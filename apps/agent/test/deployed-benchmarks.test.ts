import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BenchmarkResult, DesiredArtifact } from '@skerry/contracts'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { BenchmarkLog } from '../src/capacity/benchmark-log.ts'
import { DeployedBenchmarks, type DeployedBenchmarksDeps } from '../src/capacity/deployed-benchmarks.ts'
import type { AgentOptions } from '../src/index.ts'
import { Lane } from '../src/lane.ts'
import { assignInference } from './assignments.ts'
import type { ControlPlane } from './control-plane.ts'
import { faceDetector, realModel } from './models.ts'
import { Fleet } from './running-agent.ts'
import { SystemTree } from './system-tree.ts'

const fleet = new Fleet()
const trees: SystemTree[] = []
afterEach(async () => {
  await fleet.close()
  await Promise.all(trees.splice(0).map((tree) => tree.remove()))
})

const faces = faceDetector()
const second = realModel('@mediapipe/face_detection/face_detection_full_range_sparse.tflite')

/** An agent that serves the face detector, and a control plane that takes benchmarks unless told otherwise. */
async function serving(options: Partial<AgentOptions> = {}, understands: string[] | null = ['benchmark']) {
  const controlPlane = await fleet.controlPlane()
  controlPlane.understands = understands
  const wish = controlPlane.place('faces', faces.bytes, 'tfjs-tflite', { names: faces.names })
  controlPlane.desired = [wish]
  const dataDir = await fleet.dataDir()
  const all = { url: controlPlane.url, token: 'join-me', dataDir, runtime: 'tfjs-tflite' as const, ...options }
  const agent = await fleet.run(all)
  await controlPlane.frame('placement', ({ state }) => state === 'ready')
  return { controlPlane, wish, options: all, agent, file: join(dataDir, 'benchmarks.json') }
}

const benchmarkOf = (controlPlane: ControlPlane, { artifact }: DesiredArtifact, number = 1) =>
  controlPlane.frame('benchmark', ({ benchmark }, { session }) => benchmark.artifact === artifact && session === number)

const benchmarksIn = (controlPlane: ControlPlane, number: number): string[] =>
  controlPlane.received.flatMap(({ frame, session }) =>
    frame.type === 'benchmark' && session === number ? [frame.benchmark.artifact] : []
  )

/** Deploys another model beside the first, whose turn comes after the first one's: once it was measured, both had theirs. */
async function deploySecond(controlPlane: ControlPlane, wish: DesiredArtifact): Promise<DesiredArtifact> {
  const other = controlPlane.place('others', second.bytes, 'tfjs-tflite', { names: second.names })
  controlPlane.desired = [wish, other]
  return other
}

describe('a deployed model', () => {
  it('is measured once it is ready, in the phases of benchmark_model, and not as work', async () => {
    const { controlPlane, wish } = await serving()
    const { frame } = await benchmarkOf(controlPlane, wish)
    const { benchmark } = frame
    expect(benchmark).toMatchObject({ artifact: wish.artifact, runtime: 'tfjs-tflite', threads: 1 })
    expect(benchmark.runtimeVersion).toMatch(/^\d/)
    expect(benchmark.runs).toBeGreaterThan(0)
    expect(benchmark.runs).toBeLessThanOrEqual(50)
    const { minMs = 0, p50Ms, p95Ms = 0, p99Ms, maxMs = 0, avgMs = 0, stdMs = -1 } = benchmark
    expect([minMs, p50Ms, p95Ms, p99Ms, maxMs]).toEqual([minMs, p50Ms, p95Ms, p99Ms, maxMs].sort((a, b) => a - b))
    for (const time of [minMs, avgMs, benchmark.initMs, benchmark.firstMs]) expect(time).toBeGreaterThan(0)
    expect(stdMs).toBeGreaterThanOrEqual(0)
    expect(benchmark.peakRssBytes).toBeGreaterThan(10e6)
    const types = controlPlane.received.map((received) => received.frame.type)
    expect(types.lastIndexOf('placement')).toBeLessThan(types.indexOf('benchmark'))
    // The one job counts as one inference: none of the runs before it does.
    await controlPlane.result(assignInference(controlPlane, { artifact: wish.artifact, model: faces }))
    const { frame: latency } = await controlPlane.frame('latency')
    const counts = latency.series.flatMap(({ histogram }) => (histogram as { buckets: [number, number][] }).buckets)
    expect(counts.reduce((sum, [, count]) => sum + count, 0)).toBe(1)
  })

  it('is told of in each session until the control plane knows, over a restart, and never after', async () => {
    const { controlPlane, wish, agent, options } = await serving()
    const first = (await benchmarkOf(controlPlane, wish)).frame
    controlPlane.cut()
    expect((await benchmarkOf(controlPlane, wish, 2)).frame).toEqual(first)
    await agent.stop()
    const again = await fleet.run(options)
    expect((await benchmarkOf(controlPlane, wish, 3)).frame).toEqual(first)
    controlPlane.send({ type: 'benchmark-ack', id: first.id })
    // Handled after the acknowledgement, since frames are handled in their order.
    await controlPlane.result(assignInference(controlPlane, { artifact: wish.artifact, model: faces }))
    await again.stop()
    const other = await deploySecond(controlPlane, wish)
    await fleet.run(options)
    await benchmarkOf(controlPlane, other, 4)
    expect(benchmarksIn(controlPlane, 4)).toEqual([other.artifact])
  })

  it('is measured again with other threads or another version of its runtime, or where its file is damaged', async () => {
    const { controlPlane, wish, agent, options, file } = await serving()
    const ids = [(await benchmarkOf(controlPlane, wish)).frame.id]
    let running = agent
    let session = 1
    const restart = async (changes: Partial<AgentOptions> = {}): Promise<void> => {
      running = await fleet.run({ ...options, ...changes })
      session++
    }
    const changes = [
      () => restart({ threads: 2 }),
      async () => {
        const [entry] = JSON.parse(await readFile(file, 'utf8'))
        entry.conditions.runtime = entry.conditions.runtime.replace(/ \d[^,]*/, ' 0.0.0')
        await writeFile(file, JSON.stringify([entry]))
        await restart({ threads: 2 })
      },
      async () => {
        await writeFile(file, (await readFile(file, 'utf8')).slice(0, -20))
        await restart({ threads: 2 })
      }
    ]
    for (const change of changes) {
      await running.stop()
      await change()
      const fresh = await controlPlane.frame('benchmark', ({ id }, received) => {
        return received.session === session && !ids.includes(id)
      })
      expect(fresh.frame.benchmark.artifact).toBe(wish.artifact)
      ids.push(fresh.frame.id)
    }
    expect(new Set(ids).size).toBe(4)
  })

  it('that a job has measured is not measured again', async () => {
    const { controlPlane, wish } = await serving({}, null)
    const { artifact, runtime, manifest, signature } = wish
    const jobId = randomUUID()
    const work = { kind: 'benchmark' as const, artifact, runtime, manifest, signature, warmupRuns: 1, runs: 3 }
    controlPlane.send({ type: 'assign', jobId, epoch: 1, work })
    const { frame } = await controlPlane.result(jobId)
    expect(frame.benchmark).toMatchObject({ runs: 3, threads: 1 })
    controlPlane.understands = ['benchmark']
    const other = await deploySecond(controlPlane, wish)
    controlPlane.cut()
    await benchmarkOf(controlPlane, other, 2)
    expect(benchmarksIn(controlPlane, 2)).toEqual([other.artifact])
  })

  it('is not measured for a control plane that does not take it', async () => {
    const { controlPlane, wish, agent, file } = await serving({}, null)
    await controlPlane.result(assignInference(controlPlane, { artifact: wish.artifact, model: faces }))
    await agent.stop()
    expect(existsSync(file)).toBe(false)
    expect(benchmarksIn(controlPlane, 1)).toEqual([])
  })

  it('is not measured while the device takes no work, and is once it does', async () => {
    const tree = await SystemTree.make({ 'sys/class/thermal/thermal_zone0/temp': 97_000 })
    trees.push(tree)
    const { controlPlane, wish, file } = await serving({ systemRoot: tree.root })
    const hot = await controlPlane.result(assignInference(controlPlane, { artifact: wish.artifact, model: faces }))
    expect(hot.frame.error?.message).toMatch(/97 °C/)
    expect(existsSync(file)).toBe(false)
    controlPlane.send({ type: 'config', revision: 1, config: { maxTemperatureC: 120 } })
    await controlPlane.frame('config-report')
    const jobId = assignInference(controlPlane, { artifact: wish.artifact, model: faces })
    expect((await controlPlane.result(jobId)).frame.error).toBeUndefined()
    await benchmarkOf(controlPlane, wish)
  })
})

/** Measuring of one deployed model whose runs are the test's own, once `begin` was called; `sent` is what it told. */
async function measuring(infer: Lane, runMs: () => number) {
  const controlPlane = await fleet.controlPlane()
  const wish = controlPlane.place('faces', faces.bytes, 'tfjs-tflite', { names: faces.names })
  const unit = { ...wish, id: 'unit', deployments: ['faces'] }
  const run = async () => ({
    outputs: new Map(),
    timings: { inferenceMs: runMs(), quantizeMs: 0, dequantizeMs: 0 }
  })
  const hosted = { session: { inputs: [] }, loaded: { loadMs: 1 }, firstMs: 30 }
  const sent: BenchmarkResult[] = []
  const log = pino({ level: 'silent' })
  const done = new EventEmitter()
  const finished = once(done, 'sent')
  const benchmarks = new DeployedBenchmarks({
    kept: await BenchmarkLog.open(join(await fleet.dataDir(), 'benchmarks.json'), log),
    reconciler: { placements: () => [{ unit, state: 'ready' }] },
    lanes: { infer, convert: new Lane(1) },
    refusal: async () => null,
    conditionsOf: async () => ({ runtime: '1' }),
    detailsOf: () => ({ threads: 1 }),
    send: ({ benchmark }: { benchmark: BenchmarkResult }) => {
      sent.push(benchmark)
      done.emit('sent')
      return true
    },
    now: Date.now,
    host: { model: async () => hosted, run, peakRssBytes: async () => 1 },
    cache: {},
    controlPlanePublicKey: '',
    log
  } as unknown as DeployedBenchmarksDeps)
  return { begin: () => benchmarks.onSession(['benchmark']), finished, sent, stop: () => benchmarks.stop() }
}

describe('measuring', () => {
  it('gives way to whoever wants the slot, after the run in hand', async () => {
    const order: string[] = []
    const infer = new Lane(1)
    let jobs: Promise<void>[] = []
    const job = async (name: string): Promise<void> => {
      const release = await infer.take(new AbortController().signal)
      order.push(name)
      release()
    }
    const { begin, finished, sent, stop } = await measuring(infer, () => {
      order.push('run')
      // Both come while it runs, and the second one still waits when the first one is done.
      if (order.length === 2) jobs = [job('job 1'), job('job 2')]
      return 30
    })
    // Busy at first: nothing runs before the slot is free.
    const release = await infer.take(new AbortController().signal)
    begin()
    order.push('freed')
    release()
    await finished
    await Promise.all(jobs)
    expect(order.slice(0, 5)).toEqual(['freed', 'run', 'job 1', 'job 2', 'run'])
    // 5 to warm up (200 ms are not over before), then as many as 800 ms take.
    expect(order.filter((each) => each === 'run')).toHaveLength(5 + 27)
    expect(sent).toHaveLength(1)
    await stop()
  })

  it('takes five runs of the slowest model too, so that one that took far too long does not count', async () => {
    const times = [3000, 15_000, 3100, 2900, 3050, 3000]
    const { begin, finished, sent, stop } = await measuring(new Lane(1), () => times.shift() ?? 0)
    begin()
    await finished
    expect(sent).toEqual([expect.objectContaining({ warmupRuns: 1, runs: 5, p50Ms: 3050, maxMs: 15_000 })])
    expect(times).toEqual([])
    await stop()
  })
})
