import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Nightly, nextNightMs } from '../src/nightly.ts'

const HOUR_MS = 3_600_000
const at = (text: string): number => new Date(text).getTime()

describe('the hours of the night', () => {
  it('are the next two to five o’clock, drawn evenly', () => {
    expect(nextNightMs(at('2026-03-10T13:00:00'), 0)).toBe(at('2026-03-11T02:00:00'))
    expect(nextNightMs(at('2026-03-10T13:00:00'), 0.5)).toBe(at('2026-03-11T03:30:00'))
    expect(nextNightMs(at('2026-03-10T01:59:00'), 0)).toBe(at('2026-03-10T02:00:00'))
    // What ran at half past two does not run again at three.
    expect(nextNightMs(at('2026-03-10T02:30:00'), 0.4)).toBeGreaterThan(at('2026-03-11T02:00:00'))
  })
})

describe('what runs nightly', () => {
  beforeEach(() => vi.useFakeTimers({ now: at('2026-03-10T13:00:00') }))
  afterEach(() => vi.useRealTimers())

  function nightly(): { runs: number[]; watch: Nightly } {
    const runs: number[] = []
    const watch = new Nightly({ run: () => runs.push(Date.now()), random: () => 0.5, now: Date.now })
    watch.start()
    return { runs, watch }
  }

  it('runs once a night, for as long as it is not stopped', () => {
    const { runs, watch } = nightly()
    vi.advanceTimersByTime(72 * HOUR_MS)
    expect(runs).toEqual(['11', '12', '13'].map((day) => at(`2026-03-${day}T03:30:00`)))
    watch.stop()
    vi.advanceTimersByTime(72 * HOUR_MS)
    expect(runs).toHaveLength(3)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('keeps to the night on a device that started in 1970, and on one whose clock goes back', () => {
    vi.setSystemTime(at('1970-01-01T00:00:10'))
    const { runs, watch } = nightly()
    vi.setSystemTime(at('2026-03-10T13:00:00'))
    vi.advanceTimersByTime(24 * HOUR_MS)
    expect(runs.at(-1)).toBe(at('2026-03-11T03:30:00'))
    vi.setSystemTime(at('2026-02-01T13:00:00'))
    runs.length = 0
    vi.advanceTimersByTime(24 * HOUR_MS)
    expect(runs).toEqual([at('2026-02-02T03:30:00')])
    watch.stop()
  })
})
