import { randomUUID } from 'node:crypto'
import { type Job, Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { BundledCounts } from './bundled-counts.ts'
import { entryKey, keysOf, type Parcel, parcelsOf, unpack } from './bundles.ts'
import { ExpiringBodies } from './expiring-bodies.ts'
import { FetchWorker } from './fetch-worker.ts'

/**
 * Which job, and which of its lives; `pool` is the BullMQ queue, a higher `priority` goes first. Entries that are added
 * together and name the same `bundle` are one job of BullMQ's, under that name: its scripts cost the same for one as for many.
 * `data` is JSON.
 */
export type QueueEntry = {
  id: string
  epoch: number
  pool: string
  priority: number
  bundle?: string | null
  data?: unknown
}
export type Fetched = { id: string; epoch: number; data: unknown }

export type JobQueueOptions = {
  redisUrl: string
  prefix?: string
  /** Told of connection errors; the client reconnects by itself. */
  onError?: (error: Error) => void
}

/** BullMQ's 21 bits of priority, 0 reserved: it beats all others. Callers' priorities are 0 to 100, higher first. */
const bullPriority = (priority: number): number => 1_000 - priority

/** Jobs that are being taken out of a pool at the same time. */
const FETCHED_AT_ONCE = 16

type Pool = { queue: Queue; worker: FetchWorker }

/**
 * Delivery of job ids through BullMQ. Of what has a row it carries ids only: what a job is, and whether it may run, is
 * Postgres's to say, so losing everything in here loses no job.
 */
export class JobQueue {
  /** Of what has no row. */
  readonly bodies: ExpiringBodies
  readonly #bundled: BundledCounts
  readonly #redis: Redis
  readonly #prefix: string
  readonly #options: JobQueueOptions
  readonly #pools = new Map<string, Pool>()
  #marker: string | null = null
  #serverRunId: string | null = null
  #nextToken = 0

  constructor(options: JobQueueOptions) {
    this.#options = options
    this.#prefix = options.prefix ?? 'skerry'
    this.#redis = new Redis(options.redisUrl, {
      maxRetriesPerRequest: null,
      // No automatic pipelines: each is given all of BullMQ's scripts anew, over 10 KB that live until a full collection.
      retryStrategy: (n) => Math.min(50 * n, 1_000)
    })
    this.bodies = new ExpiringBodies(this.#redis, `${this.#prefix}-body-`)
    this.#bundled = new BundledCounts(this.#redis, `${this.#prefix}-bundled`)
    this.#redis.on('error', (error) => options.onError?.(error))
  }

  #pool(name: string): Pool {
    let pool = this.#pools.get(name)
    if (pool === undefined) {
      const connection = { connection: this.#redis, prefix: this.#prefix }
      pool = { queue: new Queue(name, connection), worker: new FetchWorker(name, connection) }
      pool.queue.on('error', (error) => this.#options.onError?.(error))
      pool.worker.on('error', (error) => this.#options.onError?.(error))
      this.#pools.set(name, pool)
    }
    return pool
  }

  /** Adds entries; one that is waiting already, or whose bundle is, stays as it is. */
  async add(entries: readonly QueueEntry[]): Promise<void> {
    const byPool = new Map<string, QueueEntry[]>()
    for (const entry of entries) {
      const list = byPool.get(entry.pool)
      if (list === undefined) byPool.set(entry.pool, [entry])
      else list.push(entry)
    }
    await Promise.all([...byPool].map(([pool, list]) => this.#addTo(pool, parcelsOf(list))))
  }

  async #addTo(pool: string, parcels: readonly Parcel[]): Promise<void> {
    const { queue } = this.#pool(pool)
    const jobs = parcels.map(({ name, key, priority, data }) => ({
      ...{ name, data },
      opts: { jobId: key, priority: bullPriority(priority), removeOnComplete: true }
    }))
    const [first] = jobs
    // One alone needs no transaction: addBulk() makes a pipeline, which is what automatic ones cost.
    if (jobs.length === 1 && first !== undefined) await queue.add(first.name, first.data, first.opts)
    else await queue.addBulk(jobs)
    this.#bundled.added(pool, parcels)
  }

  /**
   * Takes up to `limit` entries out of a pool, without waiting, best first; the last bundle whole, although it is more. They
   * are acknowledged at once: from here on only Postgres and the caller's memory know them, and a sweep brings back what the
   * caller forgets. The first one is given to `onFirst` where it is no bundle, before it is acknowledged, and is not among
   * those that are answered: a single job does not wait for what may come after it.
   */
  async fetch(pool: string, limit: number, onFirst?: (first: Fetched) => void): Promise<Fetched[]> {
    const { worker } = this.#pool(pool)
    const fetched: Fetched[] = []
    const takers: Promise<void>[] = []
    let left = limit
    let seen = 0
    let bundled = 0
    let failure: unknown = null
    const reserve = (): boolean => left > 0 && left-- > 0
    // Most pools are empty or hold one: the first taker works alone, and while there is more, others share its way there and back.
    const join = (): void => {
      if (takers.length < FETCHED_AT_ONCE && reserve()) takers.push(take().catch(fail))
    }
    const fail = (error: unknown): void => {
      failure ??= error
      left = 0
    }
    const take = async (): Promise<void> => {
      const token = `fetch-${this.#nextToken++}`
      let job: Job | undefined = await worker.getNextJob(token, { block: false })
      while (job?.id !== undefined) {
        const own = unpack({ name: job.name, id: job.id, data: job.data })
        const [first] = own
        const isFirst = seen === 0 && own.length === 1
        seen += own.length
        left -= own.length - 1
        bundled += own.length - 1
        const wantsNext = reserve()
        const acknowledged = worker.acknowledge(job, token, wantsNext)
        if (isFirst && first !== undefined && onFirst !== undefined) onFirst(first)
        else fetched.push(...own)
        // A single job needs no second taker; its own acknowledgement asks for the next.
        if (seen > 1) join()
        job = await acknowledged
        if (!wantsNext) return
      }
      left = 0
    }
    join()
    for (let i = 0; i < takers.length; i++) await takers[i]
    this.#bundled.taken(pool, bundled)
    // What was taken is in nobody's hands but the caller's.
    if (failure !== null && seen === 0) throw failure
    return fetched
  }

  /** Takes entries back that nobody has fetched; those of a bundle stay, and are for whoever fetches it to find ended. */
  async remove(entries: readonly QueueEntry[]): Promise<void> {
    await Promise.all(entries.map((entry) => this.#pool(entry.pool).queue.remove(entryKey(entry.id, entry.epoch))))
  }

  /** How many entries wait in a pool. */
  async depth(pool: string): Promise<number> {
    const [{ waiting = 0, prioritized = 0 }, bundled] = await Promise.all([
      this.#pool(pool).queue.getJobCounts('waiting', 'prioritized'),
      this.#bundled.of(pool)
    ])
    if (waiting + prioritized > 0) return waiting + prioritized + Math.max(0, bundled)
    if (bundled !== 0) await this.#bundled.forget(pool)
    return 0
  }

  /** Those of the entries that BullMQ still holds for delivery. */
  async present(entries: readonly QueueEntry[]): Promise<Set<string>> {
    const pipeline = this.#redis.pipeline()
    for (const entry of entries) {
      const { queue } = this.#pool(entry.pool)
      pipeline.exists(...keysOf(entry).map((key) => queue.toKey(key)))
    }
    const answers = (await pipeline.exec()) ?? []
    return new Set(entries.filter((_, i) => Number(answers[i]?.[1]) > 0).map((entry) => entry.id))
  }

  /**
   * Removes entries that a fetcher took and never acknowledged, because it died or its connection did: nothing delivers
   * them again, and they look as if they waited. Only the one active scheduler may call this, without `olderThanMs` only
   * before it fetches.
   */
  async dropUnacknowledged(pool: string, olderThanMs = 0): Promise<number> {
    const { queue } = this.#pool(pool)
    // The clock that BullMQ stamped them by, in this same process.
    const takenBefore = Date.now() - olderThanMs
    const active = (await queue.getActive()).filter((job) => olderThanMs === 0 || (job.processedOn ?? 0) < takenBefore)
    for (const job of active) {
      if (job.id === undefined) continue
      this.#bundled.taken(pool, unpack({ name: job.name, id: job.id, data: job.data }).length - 1)
      await this.#redis.del(`${queue.toKey(job.id)}:lock`)
      await job.remove()
    }
    return active.length
  }

  /**
   * False when the server is not the one that was filled: it restarted, was flushed, or came back from an old snapshot.
   * The next call answers true again, so the caller has to sweep on false.
   */
  async checkServer(): Promise<boolean> {
    const key = `${this.#prefix}-marker`
    const [info, marker] = await Promise.all([this.#redis.info('server'), this.#redis.get(key)])
    const runId = /run_id:(\w+)/.exec(info)?.[1] ?? null
    const same = this.#marker !== null && marker === this.#marker && runId === this.#serverRunId
    if (!same) {
      this.#marker = randomUUID()
      this.#serverRunId = runId
      await this.#redis.set(key, this.#marker)
    }
    return same
  }

  /** Forgets a pool and all that waits in it: its deployment is gone. */
  async removePool(name: string): Promise<void> {
    const { queue, worker } = this.#pool(name)
    await queue.obliterate({ force: true })
    await this.#bundled.forget(name)
    this.#pools.delete(name)
    await worker.close()
    await queue.close()
  }

  /** Forgets that it ever asked for this pool, not what waits in it: pools of single devices are many, and seldom used. */
  letGo(name: string): void {
    const pool = this.#pools.get(name)
    if (pool === undefined) return
    this.#pools.delete(name)
    for (const each of [pool.worker, pool.queue]) each.close().catch((error: Error) => this.#options.onError?.(error))
  }

  async ping(): Promise<void> {
    await this.#redis.ping()
  }

  async close(): Promise<void> {
    for (const { queue, worker } of this.#pools.values()) {
      await worker.close()
      await queue.close()
    }
    this.#pools.clear()
    this.#redis.disconnect()
  }
}
