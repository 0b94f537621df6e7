import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { ConversionResult } from '@skerry/contracts'
import { type Answer, SimulatedDevice } from '@skerry/testkit'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import type { BenchmarkContext, BenchmarkResult } from './benchmarks.ts'
import { ControlPlaneProcess } from './control-plane-process.ts'
import { benchmarkFleetSizes } from './fleet-sizes.ts'
import { idleDispatch } from './idle-dispatch.ts'
import { median } from './median.ts'

const DEVICES = 100
const SLOTS = 4
const JOBS = 4_000
const ROUNDS = 5
const FLOATS = 16
/** Enough of an HDF5 file for the upload's own look at it; no simulated device ever loads it. */
const SOURCE = Buffer.concat([Buffer.from('894844460d0a1a0a', 'hex'), Buffer.alloc(56)])

/**
 * Durable jobs a second, from POST /jobs/batch to the last terminal row, beside as many no-op jobs of BullMQ alone; how
 * long one job takes to the device's socket while devices are idle; and what a job costs in fleets of 10 to 10,000. The
 * devices are simulated, their sockets and the protocol are real; a device hears that its result is accepted once the row is
 * written.
 */
export async function benchmarkDispatch(context: BenchmarkContext): Promise<BenchmarkResult> {
  const rateAndDelay = await benchmarkRateAndDelay(context)
  // Last: what thousands of connections leave in this process would be measured with the others.
  return { ...rateAndDelay, ...(await benchmarkFleetSizes(context)) }
}

async function benchmarkRateAndDelay({ valkeyServer, say }: BenchmarkContext): Promise<BenchmarkResult> {
  const controlPlane = await ControlPlaneProcess.start(valkeyServer)
  try {
    const devices = await connectDevices(controlPlane)
    say(`${devices.length} devices of ${SLOTS} slots each are connected and serve the model`)
    const fleet = new SimulatedFleet(devices)
    await fleet.finish(controlPlane, 500)
    const ours: number[] = []
    const peer: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(JOBS / (await fleet.finish(controlPlane, JOBS)))
      peer.push(JOBS / (await bullmqAlone(controlPlane.redisUrl, JOBS)))
      say(`round ${round + 1}: ${perSecond(ours.at(-1))} durable jobs/s, BullMQ alone ${perSecond(peer.at(-1))}`)
    }
    const ratios = ours.map((each, round) => each / (peer[round] ?? Number.NaN))
    const idle = await idleDispatch(controlPlane, devices, jobLine())
    say(
      `with idle devices: p50 ${ms(idle.idleDispatchP50Ms)}, p99 ${ms(idle.idleDispatchP99Ms)} to the socket; its first thousand single jobs p50 ${ms(idle.idleDispatchColdP50Ms)}, p99 ${ms(idle.idleDispatchColdP99Ms)}`
    )
    say(
      `p99 of BullMQ alone ${ms(idle.idleBullmqP99Ms)}, its first thousand ${ms(idle.idleBullmqColdP99Ms)}; of one flush to the disk ${ms(idle.idleFlushP99Ms)}`
    )
    for (const device of devices) await device.close()
    return {
      benchmark: 'dispatch',
      ratio: median(ratios),
      oursPerSecond: median(ours) * 1_000,
      peerPerSecond: median(peer) * 1_000,
      jobs: JOBS,
      devices: DEVICES,
      slots: SLOTS,
      rounds: ROUNDS,
      ...idle,
      goals: { ratio: 0.25, stretchRatio: 0.5, idleDispatchP99Ms: 10 }
    }
  } finally {
    await controlPlane.stop()
  }
}

const ms = (value: number): string => `${value.toFixed(2)} ms`
const perSecond = (perMs: number | undefined): number => Math.round((perMs ?? 0) * 1_000)
export const jobLine = (): string =>
  JSON.stringify({
    kind: 'inference',
    model: 'bench',
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, FLOATS], data: new Array(FLOATS).fill(0.5) }]
  })

class SimulatedFleet {
  #accepted = 0
  #awaited: { count: number; resolve: () => void } | null = null

  constructor(devices: readonly SimulatedDevice[]) {
    for (const { events } of devices) {
      events.on('ack', ({ status }: { status: string }) => {
        if (status !== 'accepted') return
        this.#accepted += 1
        if (this.#awaited !== null && this.#accepted >= this.#awaited.count) this.#awaited.resolve()
      })
    }
  }

  /** Milliseconds from the request to the last row that is terminal. */
  async finish(controlPlane: ControlPlaneProcess, jobs: number): Promise<number> {
    const body = Array.from({ length: jobs }, jobLine).join('\n')
    const done = new Promise<void>((resolve) => {
      this.#awaited = { count: this.#accepted + jobs, resolve }
    })
    const started = performance.now()
    const answers = await controlPlane.call('POST', '/jobs/batch', body, 'application/x-ndjson')
    const refused = answers.split('\n').filter((line) => line !== '' && !line.includes('"status":202'))
    if (refused.length > 0) throw new Error(`${refused.length} jobs were refused, for example ${refused[0]}`)
    await done
    return performance.now() - started
  }
}

async function bullmqAlone(redisUrl: string, jobs: number): Promise<number> {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null })
  const queue = new Queue('alone', { connection, prefix: 'peer' })
  await queue.waitUntilReady()
  const started = performance.now()
  for (let i = 0; i < jobs; i += 1_000)
    await queue.addBulk(Array.from({ length: 1_000 }, () => ({ name: 'job', data: null })))
  let left = jobs
  // A connection that is given is left open by whoever is given it.
  const own = connection.duplicate()
  const worker = new Worker('alone', async () => null, {
    connection: own,
    prefix: 'peer',
    concurrency: DEVICES,
    removeOnComplete: { count: 0 }
  })
  await new Promise<void>((resolve) => {
    worker.on('completed', () => {
      left -= 1
      if (left === 0) resolve()
    })
  })
  const tookMs = performance.now() - started
  await worker.close()
  await queue.obliterate({ force: true })
  await queue.close()
  for (const each of [connection, own]) each.disconnect()
  return tookMs
}

/** `bench`, a model of 16 floats, served by 100 simulated devices that answer at once. */
export async function connectDevices(controlPlane: ControlPlaneProcess): Promise<SimulatedDevice[]> {
  await deployModel(controlPlane)
  const token = await joinToken(controlPlane, 'infer')
  const devices = Array.from(
    { length: DEVICES },
    (_, i) =>
      new SimulatedDevice({
        url: controlPlane.url,
        token,
        name: `bench-${i}`,
        slots: { infer: SLOTS, convert: 0 },
        runtimes: [{ name: 'litert', version: '1' }],
        onAssign: ({ work }) => (work.kind === 'inference' ? answer() : null)
      })
  )
  for (const device of devices) await device.connect()
  for (let tried = 0; tried < 600; tried++) {
    const { devices: placed } = await controlPlane.json<{ devices: { state: string }[] }>('GET', '/deployments/bench')
    if (placed.filter(({ state }) => state === 'ready').length === DEVICES) return devices
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('not all devices serve the model within a minute')
}

export function answer(): NonNullable<Answer> {
  return {
    frame: {
      runtime: 'litert',
      timings: { deviceMs: 0.1, inferenceMs: 0.1, quantizeMs: 0, dequantizeMs: 0 },
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 1], bytes: 4 }]
    },
    body: [new Uint8Array(4)]
  }
}

async function joinToken(controlPlane: ControlPlaneProcess, capability: string): Promise<string> {
  const body = { capabilities: [capability], uses: 1_000 }
  return (await controlPlane.json<{ token: string }>('POST', '/join-tokens', body)).token
}

/** A model of 16 floats that a simulated device converted; nothing ever runs it. */
export async function deployModel(controlPlane: ControlPlaneProcess): Promise<void> {
  const bytes = Buffer.from('no model')
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  await controlPlane.call('PUT', `/blobs/${sha256}`, bytes, 'application/octet-stream')
  const conversion: ConversionResult = {
    inputs: [{ name: 'x', datatype: 'FP32', shape: [-1, FLOATS] }],
    outputs: [{ name: 'y', datatype: 'FP32', shape: [-1, 1] }],
    names: { inputs: { x: 'x' }, outputs: { y: 'y' } },
    converter: { name: 'simulated', version: '1', options: {} },
    reference: {},
    variants: [
      { recipe: 'float32', state: 'ready', sha256, bytes: bytes.length, inputs: [], outputs: [], operators: [] }
    ],
    warnings: [],
    timings: {}
  }
  const converter = new SimulatedDevice({
    url: controlPlane.url,
    token: await joinToken(controlPlane, 'convert'),
    name: 'bench-converter',
    capabilities: ['convert'],
    slots: { infer: 0, convert: 1 },
    onAssign: () => ({ frame: { conversion } })
  })
  await converter.connect()
  const accepted = once(converter.events, 'ack')
  await controlPlane.call('PUT', '/models/bench/versions/1/source?format=h5', SOURCE, 'application/octet-stream')
  await controlPlane.json('POST', '/models/bench/versions/1/conversions', { variants: ['float32'] })
  await accepted
  await converter.close()
  await controlPlane.json('POST', '/deployments', { name: 'bench', model: 'bench', version: '1' })
}
