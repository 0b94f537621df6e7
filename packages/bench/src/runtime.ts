import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type RuntimeName, startRuntime, type TfliteRuntime } from '@skerry/runtimes'
import type { BenchmarkContext, BenchmarkResult } from './benchmarks.ts'
import { exampleVariants } from './example-variants.ts'
import { median } from './median.ts'
import { pinToOneCore } from './pinning.ts'

const rounds = 7
const warmUpRuns = 20
const benchmarked = ['float32', 'full_int8'] as const
type ExampleVariant = (typeof benchmarked)[number]
const names: RuntimeName[] = ['litert', 'tfjs-tflite', 'tfjs-tflite-node']
/** Runs in a round: about half a second each. */
const runsOf: Record<RuntimeName, number> = { litert: 150, 'tfjs-tflite': 40, 'tfjs-tflite-node': 20 }
const peerRuns = 150
const peerScript = fileURLToPath(new URL('../litert-peer.py', import.meta.url))

type Times = { p50Ms: number; p99Ms: number }
type Measured = Times & { ratio: number; maxAbsDifference: number }
type Contestant = { name: RuntimeName; infer: () => Promise<Uint8Array>; rounds: Times[]; ratios: number[] }

/**
 * One inference of the example model through a runtime's child process, as the agent does it (bytes in, bytes out),
 * against ai-edge-litert in Python (set_tensor, invoke, get_tensor): the same file, input, one thread, and one core for
 * both sides of each. In every round each runtime is measured right after or right before the peer, in turn. A ratio is
 * the median over the rounds of p50 over the peer's p50; `ratio` is the worse of litert's two.
 */
export async function benchmarkRuntime(context: BenchmarkContext): Promise<BenchmarkResult> {
  const { say } = context
  const variants = await exampleVariants(context, benchmarked, say)
  const pinning = await pinToOneCore()
  const scratch = await mkdtemp(path.join(tmpdir(), 'skerry-bench-'))
  try {
    const runtimes: Partial<Record<RuntimeName, Partial<Record<ExampleVariant, Measured>>>> = {}
    const peer: Partial<Record<ExampleVariant, Times>> = {}
    const missing: Partial<Record<RuntimeName, string>> = {}
    for (const variant of benchmarked) {
      const input = inputOf(variant)
      const inputPath = path.join(scratch, `${variant}.input`)
      await writeFile(inputPath, input)
      const measured = await measure(context, variants[variant], { bytes: input, path: inputPath }, missing)
      peer[variant] = measured.peer
      say(`${variant}: ai-edge-litert p50 ${measured.peer.p50Ms.toFixed(3)} ms`)
      for (const [name, times] of measured.runtimes) {
        runtimes[name] = { ...runtimes[name], [variant]: times }
        say(`${variant}: ${name} p50 ${times.p50Ms.toFixed(3)} ms, ${times.ratio.toFixed(3)} of the peer's`)
      }
    }
    const first = Object.values(runtimes)[0]
    const ratio = Math.max(first?.float32?.ratio ?? 0, first?.full_int8?.ratio ?? 0)
    const goals = { litert: 1.1, stretch: 1.02 }
    return { benchmark: 'runtime', ratio, goals, rounds, core: pinning?.core ?? null, runtimes, peer, missing }
  } finally {
    await pinning?.release()
    await rm(scratch, { recursive: true, force: true })
  }
}

async function measure(
  { python, liteRtLibrary, say }: BenchmarkContext,
  model: string,
  input: { bytes: Uint8Array; path: string },
  missing: Partial<Record<RuntimeName, string>>
): Promise<{ peer: Times; runtimes: [RuntimeName, Measured][] }> {
  const started: TfliteRuntime[] = []
  const peer = new Peer(python, model, input.path)
  try {
    const expected = await peer.ready()
    const contestants: Contestant[] = []
    for (const name of names) {
      try {
        const runtime = await startRuntime(name, { threads: 1, liteRtLibrary })
        started.push(runtime)
        contestants.push({ name, infer: await inference(runtime, model, input.bytes), rounds: [], ratios: [] })
      } catch (error) {
        missing[name] = error instanceof Error ? error.message : String(error)
        say(`${name} is left out: ${missing[name]}`)
      }
    }
    const differences = new Map<RuntimeName, number>()
    for (const { name, infer } of contestants) {
      for (let run = 0; run < warmUpRuns; run++) await infer()
      differences.set(name, maxAbsDifference(await infer(), expected))
    }
    await peer.run(warmUpRuns)
    const peerRounds: Times[] = []
    for (let round = 0; round < rounds; round++) {
      for (const contestant of contestants) {
        const pair: { ours?: Times; peer?: Times } = {}
        const steps = [
          async () => {
            pair.ours = await timesOf(contestant.infer, runsOf[contestant.name])
          },
          async () => {
            pair.peer = quantiles(await peer.run(peerRuns))
          }
        ]
        for (const step of round % 2 === 0 ? steps : steps.reverse()) await step()
        if (pair.ours === undefined || pair.peer === undefined) continue
        contestant.rounds.push(pair.ours)
        contestant.ratios.push(pair.ours.p50Ms / pair.peer.p50Ms)
        peerRounds.push(pair.peer)
      }
    }
    return {
      peer: medians(peerRounds),
      runtimes: contestants.map(({ name, rounds, ratios }) => [
        name,
        { ...medians(rounds), ratio: median(ratios), maxAbsDifference: differences.get(name) ?? Number.NaN }
      ])
    }
  } finally {
    for (const runtime of started) await runtime.close()
    await peer.stop()
  }
}

async function inference(runtime: TfliteRuntime, model: string, input: Uint8Array): Promise<Contestant['infer']> {
  const { inputs, outputs } = await runtime.load('example', model, { threads: 1 })
  const [given] = inputs
  const [taken] = outputs
  if (given === undefined || taken === undefined) throw new Error('the example model has an input and an output')
  const tensors = new Map([[given.name, input]])
  return async () => (await runtime.invoke('example', tensors)).outputs.get(taken.name) ?? new Uint8Array(0)
}

/** ai-edge-litert in a Python process, which stays between rounds. */
class Peer {
  readonly #process: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor(python: string, model: string, input: string) {
    this.#process = spawn(python, ['-s', peerScript, model, input], { stdio: ['pipe', 'pipe', 'ignore'] })
    if (this.#process.stdout === null) throw new Error('the peer has no stdout')
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]()
  }

  async ready(): Promise<Uint8Array> {
    const { output } = JSON.parse(await this.#line()) as { output: string }
    return Buffer.from(output, 'hex')
  }

  async run(count: number): Promise<number[]> {
    this.#process.stdin?.write(`${count}\n`)
    return JSON.parse(await this.#line()) as number[]
  }

  async stop(): Promise<void> {
    const gone = this.#process.exitCode === null ? once(this.#process, 'exit') : undefined
    this.#process.stdin?.end()
    await gone
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done === true) throw new Error('ai-edge-litert has ended: is it in the Python environment?')
    return value
  }
}

async function timesOf(infer: () => Promise<unknown>, runs: number): Promise<Times> {
  const times: number[] = []
  for (let run = 0; run < runs; run++) {
    const started = performance.now()
    await infer()
    times.push(performance.now() - started)
  }
  return quantiles(times)
}

/** Nearest rank. */
function quantiles(times: readonly number[]): Times {
  const sorted = [...times].sort((a, b) => a - b)
  const rank = (q: number): number => sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN
  return { p50Ms: rank(0.5), p99Ms: rank(0.99) }
}

const medians = (rounds: readonly Times[]): Times => ({
  p50Ms: median(rounds.map(({ p50Ms }) => p50Ms)),
  p99Ms: median(rounds.map(({ p99Ms }) => p99Ms))
})

/** What an image between -1 and 1 looks like to each variant; the values do not matter to the time. */
function inputOf(variant: ExampleVariant): Uint8Array {
  const values = Float32Array.from({ length: 224 * 224 * 3 }, (_, at) => Math.sin(at))
  const array = variant === 'float32' ? values : Int8Array.from(values, (value) => Math.round(value * 127))
  return new Uint8Array(array.buffer)
}

/** float32 for 4 bytes, steps of the quantization for 1: the example model has one output. */
function maxAbsDifference(ours: Uint8Array, theirs: Uint8Array): number {
  const values = (bytes: Uint8Array): Float32Array | Int8Array =>
    bytes.byteLength === 4 ? new Float32Array(Uint8Array.from(bytes).buffer) : Int8Array.from(bytes)
  return Math.abs((values(ours)[0] ?? Number.NaN) - (values(theirs)[0] ?? Number.NaN))
}
