import { freshRedis } from '@skerry/testkit'
import { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { JobQueue } from '../src/index.ts'

const entry = (id: number, more: object = {}) => ({ id: `job-${id}`, epoch: 1, pool: 'pool', priority: 0, ...more })

describe('JobQueue', () => {
  let queue: JobQueue
  let redis: Redis

  beforeEach(() => {
    const { url, prefix } = freshRedis()
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
