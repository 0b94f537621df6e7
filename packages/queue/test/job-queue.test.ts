import { freshRedis } from '@skerry/testkit'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { JobQueue } from '../src/index.ts'

const entry = (id: number, more: object = {}) => ({ id: `job-${id}`, epoch: 1, pool: 'pool', priority: 0, ...more })

describe('JobQueue', () => {
  let queue: JobQueue
  let redis: Redis
  let prefix: string

  beforeEach(() => {
    const { url, prefix: own } = freshRedis()
    prefix = own
    queue = new JobQueue({ redisUrl: url, prefix })
    redis = new Redis(url)
  })
  afterEach(async () => {
    await queue.close()
    redis.disconnect()
  })

  it('gives what is waiting once, as much as was asked for, and leaves nothing half taken', async () => {
    await queue.add(Array.from({ length: 100 }, (_, i) => entry(i)))
    const first = await queue.fetch('pool', 30)
    expect(first).toHaveLength(30)
    expect(await queue.depth('pool')).toBe(70)
    const rest = await queue.fetch('pool', 256)
    expect(rest).toHaveLength(70)
    expect(new Set([...first, ...rest].map(({ id }) => id)).size).toBe(100)
    expect(await queue.dropUnacknowledged('pool')).toBe(0)
    expect(await queue.fetch('pool', 256)).toEqual([])
  })

  it('gives the highest priority first, and with each entry its data', async () => {
    await queue.add([entry(1), entry(2, { priority: 5, data: { origin: 'here' } }), entry(3, { priority: 9 })])
    const fetched = []
    for (let i = 0; i < 3; i++) fetched.push(...(await queue.fetch('pool', 1)))
    expect(fetched.map(({ id, data }) => [id, data])).toEqual([
      ['job-3', null],
      ['job-2', { origin: 'here' }],
      ['job-1', null]
    ])
  })

  it('does not ask for a pool that holds one job, or none, as if it held many', async () => {
    const scripts = async (): Promise<number> =>
      Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
    await queue.add([entry(1)])
    await queue.fetch('pool', 256)
    const before = await scripts()
    await queue.add([entry(2)])
    expect(await queue.fetch('pool', 256)).toHaveLength(1)
    expect((await scripts()) - before).toBeLessThanOrEqual(3)
  })

  it('gives a single job away before it is acknowledged, and no bundle', async () => {
    await queue.add([entry(1), entry(2)])
    const early: string[] = []
    const rest = await queue.fetch('pool', 256, ({ id }) => early.push(id))
    expect([early, rest.map(({ id }) => id)]).toEqual([['job-1'], ['job-2']])
    await queue.add([entry(3, { bundle: 'b' }), entry(4, { bundle: 'b' })])
    expect(await queue.fetch('pool', 256, ({ id }) => early.push(id))).toHaveLength(2)
    expect(early).toEqual(['job-1'])
    expect(await queue.dropUnacknowledged('pool')).toBe(0)
  })

  it('carries a bundle as one, and counts and finds each of its entries', async () => {
    const bundled = Array.from({ length: 10 }, (_, i) => entry(i, { bundle: 'bundle', data: { i } }))
    const alone = entry(10, { data: { i: 10 } })
    await queue.add([...bundled, alone])
    expect(await redis.zcard(`${prefix}:pool:prioritized`)).toBe(2)
    expect(await queue.depth('pool')).toBe(11)
    expect((await queue.present([...bundled, alone, entry(11)])).size).toBe(11)
    // The last bundle comes whole.
    const fetched = await queue.fetch('pool', 3)
    expect(fetched.length).toBeGreaterThanOrEqual(3)
    fetched.push(...(await queue.fetch('pool', 256)))
    const ids = ({ id, epoch, data }: { id: string; epoch: number; data?: unknown }) =>
      `${id} ${epoch} ${JSON.stringify(data)}`
    expect(fetched.map(ids).sort()).toEqual([...bundled, alone].map(ids).sort())
    expect(await queue.depth('pool')).toBe(0)
    expect((await queue.present([...bundled, alone])).size).toBe(0)
    expect(await queue.dropUnacknowledged('pool')).toBe(0)
  })

  it('delivers what of a bundle is added again by itself, and no bundle twice while it waits', async () => {
    const bundled = [entry(1, { bundle: 'b' }), entry(2, { bundle: 'b' })]
    await queue.add(bundled)
    await queue.add(bundled)
    expect(await queue.fetch('pool', 256)).toHaveLength(2)
    // Its fetcher died with it: whoever finds the row adds it alone.
    await queue.add([{ ...entry(2), bundle: null }])
    expect([...(await queue.present(bundled))]).toEqual(['job-2'])
    expect((await queue.fetch('pool', 256)).map(({ id }) => id)).toEqual(['job-2'])
  })

  it('counts what is in bundles anew once a pool is empty', async () => {
    await queue.add([entry(1, { bundle: 'b' }), entry(2, { bundle: 'b' }), entry(3, { bundle: 'b' })])
    await redis.del(`${prefix}:pool:prioritized`)
    expect(await queue.depth('pool')).toBe(0)
    await queue.add([entry(4), entry(5)])
    expect(await queue.depth('pool')).toBe(2)
  })

  it('keeps bodies for their time and no longer', async () => {
    await queue.bodies.put('a', Uint8Array.of(1, 2, 3), 60_000)
    await queue.bodies.put('b', new Uint8Array(), 60_000)
    expect(await queue.bodies.get('a')).toEqual(Buffer.from([1, 2, 3]))
    expect(await queue.bodies.get('b')).toHaveLength(0)
    const [a = 0, none] = await queue.bodies.remainingMs(['a', 'none'])
    expect([a > 50_000, none]).toEqual([true, 0])
    await queue.bodies.drop('a')
    expect(await queue.bodies.get('a')).toBeNull()
  })
})
