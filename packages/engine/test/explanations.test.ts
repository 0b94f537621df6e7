import type { DeviceStanding } from '@skerry/registry'
import { createMetrics } from '@skerry/telemetry'
import { beforeEach, describe, expect, it } from 'vitest'
import { Fleet } from '../src/devices/fleet.ts'
import type { EngineResources } from '../src/resources.ts'
import { Explanations } from '../src/scheduling/explanations.ts'
import { Placer } from '../src/scheduling/placer.ts'
import type { Terms } from '../src/scheduling/work.ts'

const DEVICES = 1_200
const PASS_MS = 40

const termsOf = (site: string): Terms => ({
  ...{ id: site, kind: 'inference', model: 'm', deployment: 'd', target_device_id: null, terms: {} },
  selector: { site }
})

describe('Explanations', () => {
  let nowMs: number
  let passes: number
  let underWay: number
  let isAway: boolean
  let explanations: Explanations

  beforeEach(() => {
    ;[nowMs, passes, underWay, isAway] = [0, 0, 0, false]
    const all = Array.from({ length: DEVICES }, (_, i): DeviceStanding => {
      return { id: String(i).padStart(6, '0'), name: `n${i}`, state: 'offline' }
    })
    const standingsAfter = async (_: string | null, afterId: string | null, limit: number) => {
      if (afterId === null) {
        passes += 1
        underWay += 1
        nowMs += PASS_MS
      }
      expect(underWay).toBe(1)
      await new Promise((resolve) => setImmediate(resolve))
      if (isAway) {
        underWay -= 1
        throw new Error('the connection was lost')
      }
      const page = all.filter(({ id }) => afterId === null || id > afterId).slice(0, limit)
      if (page.length < limit) underWay -= 1
      return page
    }
    const resources = { registry: { devices: { standingsAfter } }, nowMs: () => nowMs } as unknown as EngineResources
    const placer = new Placer({ support: () => null, metrics: createMetrics(), nowMs: () => nowMs })
    explanations = new Explanations(resources, new Fleet(), placer)
  })
  const summaries = (count: number, siteOf: (i: number) => string) =>
    Promise.all(Array.from({ length: count }, (_, i) => explanations.summary(termsOf(siteOf(i)))))

  it('counts each device once, over many pages, one pass after the other', async () => {
    const asked = ['a', 'b', 'c'].map((site) => explanations.of(termsOf(site), null, null))
    for (const { summary } of await Promise.all(asked)) expect(summary).toBe('1200 devices: 1200 offline')
    expect(passes).toBe(3)
  })

  it('tells those who were refused for the same work by one pass', async () => {
    const told = await summaries(1_000, () => 'a')
    expect(new Set(told)).toEqual(new Set(['1200 devices: 1200 offline']))
    expect(passes).toBe(1)
  })

  it('leaves it untold when many are refused for unlike work, and tells again after a rest', async () => {
    const told = await summaries(1_000, (i) => `site-${i}`)
    const count = told.filter((each) => each !== null).length
    expect(count).toBeGreaterThan(0)
    expect(passes).toBe(count)
    expect(passes * PASS_MS).toBeLessThan(1_000)
    expect(await explanations.summary(termsOf('late'))).toBeNull()
    nowMs += 4 * passes * PASS_MS
    expect(await explanations.summary(termsOf('later'))).not.toBeNull()
  })

  it('turns away who asks while too many wait, and no one for good', async () => {
    const asked = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) => explanations.of(termsOf(`site-${i}`), null, null))
    )
    const refused = asked.filter((each) => each.status === 'rejected')
    expect(refused.length).toBe(34)
    for (const { reason } of refused) expect(reason.code).toBe('unavailable')
    await expect(explanations.of(termsOf('a'), null, null)).resolves.toBeDefined()
  })

  it('goes on after a pass that failed', async () => {
    isAway = true
    await expect(explanations.recent(termsOf('a'))).rejects.toThrow('the connection was lost')
    isAway = false
    await expect(explanations.recent(termsOf('a'))).resolves.toBeDefined()
  })
})
