import { Queue, QueueEvents, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import type { BenchmarkContext, BenchmarkResult } from './benchmarks.ts'
import { ControlPlaneProcess } from './control-plane-process.ts'
import { connectDevices } from './dispatch.ts'
import { KeptConnection } from './kept-connection.ts'
import { median } from './median.ts'

const CALLS = 300
const ROUNDS = 5
const BODY = JSON.stringify({
  inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 16], data: new Array(16).fill(0.5) }]
})

/**
 * What a synchronous inference takes over HTTP beside the device's own time, one call at a time, while devices are idle:
 * request, queue, decision, frame, result, answer. Peer: a no-op job of BullMQ alone, from add() to waitUntilFinished().
 * The devices are simulated and answer at once, their sockets and the protocol are real.
 */
export async function benchmarkRtt({ valkeyServer, say }: BenchmarkContext): Promise<BenchmarkResult> {
  const controlPlane = await ControlPlaneProcess.start(valkeyServer)
  try {
    const devices = await connectDevices(controlPlane)
    say(`${devices.length} devices are connected and serve the model`)
    const connection = new KeptConnection(controlPlane)
    // A simulated device's own time is nothing.
    const overheadMs = (): Promise<number[]> => timed(CALLS, () => connection.post('/v2/models/bench/infer', BODY))
    const peer = await BullmqAlone.start(controlPlane.redisUrl)
    await overheadMs()
    await peer.tookMs(CALLS)
    const ours: number[][] = []
    const theirs: number[][] = []
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(await overheadMs())
      theirs.push(await peer.tookMs(CALLS))
      const [p50, p99, peerP50] = [at(ours.at(-1), 0.5), at(ours.at(-1), 0.99), at(theirs.at(-1), 0.5)]
      say(`round ${round + 1}: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms; BullMQ p50 ${peerP50.toFixed(2)} ms`)
    }
    connection.close()
    await peer.close()
    for (const device of devices) await device.close()
    const of = (rounds: number[][], q: number): number => median(rounds.map((each) => at(each, q)))
    return {
      benchmark: 'rtt',
      ratio: median(ours.map((each, round) => at(each, 0.5) / at(theirs[round], 0.5))),
      overheadP50Ms: of(ours, 0.5),
      overheadP99Ms: of(ours, 0.99),
      peerP50Ms: of(theirs, 0.5),
      peerP99Ms: of(theirs, 0.99),
      calls: CALLS,
      rounds: ROUNDS,
      devices: devices.length
    }
  } finally {
    await controlPlane.stop()
  }
}

const at = (sorted: readonly number[] = [], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN

async function timed(count: number, once: () => Promise<void>): Promise<number[]> {
  const took: number[] = []
  for (let i = 0; i < count; i++) {
    const started = performance.now()
    await once()
    took.push(performance.now() - started)
  }
  return took.sort((a, b) => a - b)
}

class BullmqAlone {
  readonly #connections: Redis[]
  readonly #queue: Queue
  readonly #events: QueueEvents
  readonly #worker: Worker

  static async start(redisUrl: string): Promise<BullmqAlone> {
    const alone = new BullmqAlone(redisUrl)
    await Promise.all([alone.#queue.waitUntilReady(), alone.#events.waitUntilReady(), alone.#worker.waitUntilReady()])
    return alone
  }

  private constructor(redisUrl: string) {
    const connect = (): Redis => new Redis(redisUrl, { maxRetriesPerRequest: null })
    this.#connections = [connect(), connect(), connect()]
    const [first, second, third] = this.#connections as [Redis, Redis, Redis]
    this.#queue = new Queue('rtt', { connection: first, prefix: 'peer' })
    this.#events = new QueueEvents('rtt', { connection: second, prefix: 'peer' })
    // One that is removed before it is waited for would be missed.
    const options = { connection: third, prefix: 'peer', removeOnComplete: { count: 100 } }
    this.#worker = new Worker('rtt', async () => null, options)
  }

  tookMs(jobs: number): Promise<number[]> {
    return timed(jobs, async () => {
      const job = await this.#queue.add('job', null)
      await job.waitUntilFinished(this.#events)
    })
  }

  async close(): Promise<void> {
    await this.#worker.close()
    await this.#events.close()
    await this.#queue.close()
    for (const connection of this.#connections) connection.disconnect()
  }
}
