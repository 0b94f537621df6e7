import { describe, expect, it } from 'vitest'
import { type Asker, Lane } from '../src/lane.ts'

const never = new AbortController().signal

/** Takes and frees one slot after another and tells in which order they were given. */
async function orderOf(lane: Lane, askers: readonly Asker[]): Promise<string[]> {
  const served: string[] = []
  const held = await lane.take(never)
  const all = askers.map(async (asker, index) => {
    const release = await lane.take(never, asker)
    served.push(`${asker} ${index}`)
    release()
  })
  held()
  await Promise.all(all)
  return served
}

describe('the slots', () => {
  it('are taken in turns by jobs and local requests where both wait, each in their own order', async () => {
    const served = await orderOf(new Lane(1), ['job', 'job', 'job', 'job', 'local', 'local'])
    expect(served).toEqual(['local 4', 'job 0', 'local 5', 'job 1', 'job 2', 'job 3'])
  })

  it('go to whoever waits where nobody else does', async () => {
    expect(await orderOf(new Lane(1), ['local', 'local'])).toEqual(['local 0', 'local 1'])
    expect(await orderOf(new Lane(1), ['job', 'job'])).toEqual(['job 0', 'job 1'])
  })

  it('are not given to one who left, and count who waits', async () => {
    const lane = new Lane(1)
    const release = await lane.take(never)
    const leaver = new AbortController()
    const left = lane.take(leaver.signal, 'local')
    const stayed = lane.take(never, 'local')
    expect([lane.waiting(), lane.waiting('local'), lane.waiting('job')]).toEqual([2, 2, 0])
    leaver.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
    release()
    ;(await stayed)()
    expect(lane.waiting()).toBe(0)
  })
})
