import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SimulatedDevice } from '@skerry/testkit'
import { Queue, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import type { ControlPlaneProcess } from './control-plane-process.ts'
import { KeptConnection } from './kept-connection.ts'

/** Of so many the 99th percentile is the tenth longest; of 300 it would be the third, which is another one each time. */
const JOBS = 1_000
/** Before anything is counted: connections, prepared statements. */
const FIRST = 50
/**
 * One after the other, between the two rounds: V8 goes on compiling what a single job runs through for thousands of jobs, and
 * each time it holds a core for milliseconds.
 */
const WARM_UP = 4_000
const GAP_MS = 10
/** A page of Postgres's log. */
const FLUSHED_BYTES = 8_192

type Took = Record<'job' | 'bullmq' | 'flush', number[]>

export type IdleDispatch = Record<
  | 'idleDispatchP50Ms'
  | 'idleDispatchP99Ms'
  | 'idleDispatchColdP50Ms'
  | 'idleDispatchColdP99Ms'
  | 'idleBullmqP50Ms'
  | 'idleBullmqP99Ms'
  | 'idleBullmqColdP99Ms'
  | 'idleFlushP50Ms'
  | 'idleFlushP99Ms',
  number
>

/**
 * How long one job takes while devices are idle, from the request to the frame on a device's socket; in turns with what
 * bounds it on this machine at this moment: a job of BullMQ alone from add() to its worker, which waits for no disk, and one
 * page that is written and flushed to the disk, which a job waits for twice (its row, its claim). Cold are the first
 * thousand of each, whatever batches ran before; the others come after thousands more.
 */
export async function idleDispatch(
  controlPlane: ControlPlaneProcess,
  devices: readonly SimulatedDevice[],
  jobLine: string
): Promise<IdleDispatch> {
  const job = new SingleJob(controlPlane, devices, jobLine)
  const bullmq = new BullmqAlone(controlPlane.redisUrl)
  const disk = await Disk.open()
  const turns = async (count: number): Promise<Took> => {
    const took: Took = { job: [], bullmq: [], flush: [] }
    for (let i = 0; i < count; i++) {
      took.job.push(await rested(() => job.ms()))
      took.bullmq.push(await rested(() => bullmq.ms()))
      took.flush.push(await rested(() => disk.ms()))
    }
    return took
  }
  await turns(FIRST)
  const cold = await turns(JOBS)
  for (let i = 0; i < WARM_UP; i++) await job.ms()
  for (let i = 0; i < WARM_UP; i++) await bullmq.ms()
  const warm = await turns(JOBS)
  job.close()
  await bullmq.close()
  await disk.close()
  return {
    idleDispatchP50Ms: at(warm.job, 0.5),
    idleDispatchP99Ms: at(warm.job, 0.99),
    idleDispatchColdP50Ms: at(cold.job, 0.5),
    idleDispatchColdP99Ms: at(cold.job, 0.99),
    idleBullmqP50Ms: at(warm.bullmq, 0.5),
    idleBullmqP99Ms: at(warm.bullmq, 0.99),
    idleBullmqColdP99Ms: at(cold.bullmq, 0.99),
    idleFlushP50Ms: at(warm.flush, 0.5),
    idleFlushP99Ms: at(warm.flush, 0.99)
  }
}

function at(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}

/** After a pause in which all come to rest. */
async function rested(measure: () => Promise<number>): Promise<number> {
  await sleep(GAP_MS)
  return measure()
}

/** Milliseconds from `begin` to the time that it resolves with. */
async function timed(begin: () => Promise<number>): Promise<number> {
  const started = performance.now()
  return (await begin()) - started
}

class SingleJob {
  readonly #connection: KeptConnection
  readonly #body: string
  #onAssign: (() => void) | null = null

  constructor(controlPlane: ControlPlaneProcess, devices: readonly SimulatedDevice[], body: string) {
    this.#connection = new KeptConnection(controlPlane)
    this.#body = body
    for (const { events } of devices) events.on('assign', () => this.#onAssign?.())
  }

  ms(): Promise<number> {
    return timed(async () => {
      const assigned = new Promise<number>((resolve) => {
        this.#onAssign = () => resolve(performance.now())
      })
      await this.#connection.post('/api/v1/jobs', this.#body)
      return assigned
    })
  }

  close(): void {
    this.#connection.close()
  }
}

class BullmqAlone {
  readonly #connections: Redis[]
  readonly #queue: Queue
  readonly #worker: Worker
  #onJob: (() => void) | null = null

  constructor(redisUrl: string) {
    const connect = (): Redis => new Redis(redisUrl, { maxRetriesPerRequest: null })
    this.#connections = [connect(), connect()]
    const [first, second] = this.#connections as [Redis, Redis]
    this.#queue = new Queue('idle', { connection: first, prefix: 'peer' })
    const options = { connection: second, prefix: 'peer', removeOnComplete: { count: 0 } }
    this.#worker = new Worker('idle', async () => this.#onJob?.(), options)
  }

  ms(): Promise<number> {
    return timed(async () => {
      const worked = new Promise<number>((resolve) => {
        this.#onJob = () => resolve(performance.now())
      })
      await this.#queue.add('job', null)
      return worked
    })
  }

  async close(): Promise<void> {
    await this.#worker.close()
    await this.#queue.obliterate({ force: true })
    await this.#queue.close()
    for (const connection of this.#connections) connection.disconnect()
  }
}

class Disk {
  readonly #dir: string
  readonly #file: Awaited<ReturnType<typeof open>>
  readonly #page = Buffer.alloc(FLUSHED_BYTES, 1)
  #at = 0

  static async open(): Promise<Disk> {
    const dir = await mkdtemp(join(tmpdir(), 'skerry-bench-disk-'))
    const file = await open(join(dir, 'log'), 'w')
    // As Postgres does with its log: no flush has to make the file longer.
    await file.write(Buffer.alloc(FLUSHED_BYTES * (FIRST + 2 * JOBS)))
    await file.sync()
    return new Disk(dir, file)
  }

  private constructor(dir: string, file: Awaited<ReturnType<typeof open>>) {
    this.#dir = dir
    this.#file = file
  }

  ms(): Promise<number> {
    return timed(async () => {
      await this.#file.write(this.#page, 0, FLUSHED_BYTES, this.#at)
      await this.#file.datasync()
      this.#at += FLUSHED_BYTES
      return performance.now()
    })
  }

  async close(): Promise<void> {
    await this.#file.close()
    await rm(this.#dir, { recursive: true, force: true })
  }
}
