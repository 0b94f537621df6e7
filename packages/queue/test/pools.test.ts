import { freshRedis } from '@skerry/testkit'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { JobQueue } from '../src/index.ts'

describe('a pool', () => {
  let queue: JobQueue
  beforeAll(() => {
    const { url, prefix } = freshRedis()
    queue = new JobQueue({ redisUrl: url, prefix })
  })
  afterAll(async () => {
    await queue.close()
  })
  const entry = (id: string) => ({ id, epoch: 1, pool: 'device-1', priority: 0 })

  it('that was let go keeps what waits in it, also what is being added meanwhile', async () => {
    await queue.add([entry('a')])
    const adding = queue.add([entry('b')])
    queue.letGo('device-1')
    queue.letGo('device-1')
    await adding
    expect((await queue.fetch('device-1', 10)).map(({ id }) => id).sort()).toEqual(['a', 'b'])
    queue.letGo('device-1')
    await queue.add([entry('c')])
    expect(await queue.depth('device-1')).toBe(1)
  })
})
