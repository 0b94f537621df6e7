import { describe, expect, it } from 'vitest'
import { PoolWatch } from '../src/jobs/pool-watch.ts'
import { CONVERSION_POOL, deploymentPool, devicePool } from '../src/jobs/pools.ts'

const anyRoom = () => true
const [first, second] = [deploymentPool('first'), deploymentPool('second')]

describe('PoolWatch', () => {
  it('looks into what was woken before what is polled, and into each once', () => {
    const pools = new PoolWatch()
    pools.wake(first)
    expect(pools.take(9, anyRoom)).toEqual([first])
    pools.pollAll()
    pools.wake(second)
    expect(pools.take(1, anyRoom)).toEqual([second])
    expect(pools.take(9, anyRoom)).toEqual([CONVERSION_POOL, first])
    expect(pools.take(9, anyRoom)).toEqual([])
  })

  it('takes a pool that is woken and polled once', () => {
    const pools = new PoolWatch()
    pools.wake(CONVERSION_POOL)
    pools.pollAll()
    expect(pools.take(9, anyRoom)).toEqual([CONVERSION_POOL])
    expect(pools.take(9, anyRoom)).toEqual([])
  })

  it('keeps a pool without room for later, past those that have some', () => {
    const pools = new PoolWatch()
    pools.wake(first)
    pools.wake(second)
    expect(pools.take(1, (pool) => pool !== first)).toEqual([second])
    expect(pools.take(9, anyRoom)).toEqual([first])
  })

  it('polls the pools of devices no more once they were found empty, unless they were woken again', () => {
    const pools = new PoolWatch()
    const [empty, woken] = [devicePool('empty'), devicePool('woken')]
    for (const pool of [first, empty, woken]) pools.wake(pool)
    pools.take(9, anyRoom)
    pools.wake(woken)
    for (const pool of [first, empty, woken]) pools.foundEmpty(pool)
    pools.pollAll()
    expect(pools.take(9, anyRoom)).toEqual([woken, CONVERSION_POOL, first])
  })

  it('forgets a pool', () => {
    const pools = new PoolWatch()
    pools.wake(first)
    pools.forget(first)
    pools.pollAll()
    expect(pools.take(9, anyRoom)).toEqual([CONVERSION_POOL])
  })
})
