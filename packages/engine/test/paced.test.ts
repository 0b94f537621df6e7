import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { distinctRounds } from '../src/distinct-rounds.ts'
import { Paced } from '../src/paced.ts'
import { takeFirst } from '../src/take-first.ts'

describe('Paced', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 0 })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  /** Each run takes 100 ms. */
  const paced = () => {
    const runs: { atMs: number; due: string[] }[] = []
    const task = new Paced(async (due) => {
      runs.push({ atMs: Date.now(), due })
      await new Promise((resolve) => setTimeout(resolve, 100))
    }, Date.now)
    return { runs, task }
  }

  it('joins what is due during a run, and rests four times as long as the run took', async () => {
    const { runs, task } = paced()
    task.add('a')
    for (const name of ['b', 'c', 'b']) task.add(name)
    await vi.advanceTimersByTimeAsync(499)
    expect(runs).toEqual([{ atMs: 0, due: ['a'] }])
    task.add('d')
    await vi.advanceTimersByTimeAsync(1)
    expect(runs[1]).toEqual({ atMs: 500, due: ['b', 'c', 'd'] })
    await vi.advanceTimersByTimeAsync(10_000)
    expect(runs).toHaveLength(2)
  })

  it('waits for no rest when it is hurried, but for the run before', async () => {
    const { runs, task } = paced()
    task.add('a')
    task.hurry('b')
    await vi.advanceTimersByTimeAsync(100)
    expect(runs.map(({ atMs }) => atMs)).toEqual([0, 100])
    await vi.advanceTimersByTimeAsync(150)
    task.hurry('c')
    expect(runs[2]).toEqual({ atMs: 250, due: ['c'] })
  })

  it('stops with what it is at, and begins nothing more', async () => {
    const { runs, task } = paced()
    task.add('a')
    task.add('b')
    const stopped = task.stop()
    await vi.advanceTimersByTimeAsync(10_000)
    await stopped
    task.hurry('c')
    await vi.advanceTimersByTimeAsync(10_000)
    expect(runs).toHaveLength(1)
  })
})

describe('turns', () => {
  it('of distinct rounds hold each key once, in the order that things came in', () => {
    expect(distinctRounds(['a1', 'b1', 'a2', 'c1', 'a3', 'b2'], (item) => item.slice(0, 1))).toEqual([
      ['a1', 'b1', 'c1'],
      ['a2', 'b2'],
      ['a3']
    ])
  })

  it('take the oldest out of a map', () => {
    const map = new Map([1, 2, 3].map((key) => [key, true]))
    expect([...takeFirst(map, 2).keys()]).toEqual([1, 2])
    expect([...map.keys()]).toEqual([3])
    expect([...takeFirst(map, 2).keys()]).toEqual([3])
  })
})
