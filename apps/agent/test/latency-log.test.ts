import { Histogram } from '@skerry/telemetry'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type LatencyFrame, LatencyLog } from '../src/latency-log.ts'

beforeEach(() => vi.useFakeTimers({ now: 1_000_000 }))
afterEach(() => vi.useRealTimers())

function logOf(session: { stands: boolean }): { log: LatencyLog; sent: LatencyFrame[] } {
  const sent: LatencyFrame[] = []
  const send = (frame: LatencyFrame): boolean => {
    if (session.stands) sent.push(frame)
    return session.stands
  }
  return { log: new LatencyLog({ send, now: Date.now }), sent }
}

const countOf = (frame: LatencyFrame | undefined): number => Histogram.fromJSON(frame?.series[0]?.histogram).count
const record = (log: LatencyLog): void => log.record('faces', 'a'.repeat(64), 'litert', 3)

describe('the latency log', () => {
  it('sends one frame two seconds after the last inference of a stream', () => {
    const { log, sent } = logOf({ stands: true })
    for (let i = 0; i < 5; i++) {
      record(log)
      vi.advanceTimersByTime(1_900)
    }
    expect(sent).toEqual([])
    vi.advanceTimersByTime(200)
    expect(sent.map(countOf)).toEqual([5])
  })

  it('counts once: what is not acknowledged goes again under its number, what came meanwhile under the next', () => {
    const { log, sent } = logOf({ stands: true })
    record(log)
    log.flush()
    record(log)
    record(log)
    log.flush()
    expect(sent).toHaveLength(1)
    log.resend()
    expect(sent[1]).toEqual(sent[0])
    log.ack(sent[0]?.seq ?? 0)
    log.flush()
    expect(sent.map(countOf)).toEqual([1, 1, 2])
    expect(sent[2]?.seq).toBeGreaterThan(sent[1]?.seq ?? Number.POSITIVE_INFINITY)
  })

  it('sends a number above all earlier ones after a restart', () => {
    const first = logOf({ stands: true })
    record(first.log)
    first.log.stop()
    vi.advanceTimersByTime(10)
    const second = logOf({ stands: true })
    record(second.log)
    second.log.stop()
    expect(second.sent[0]?.seq).toBeGreaterThan(first.sent[0]?.seq ?? Number.POSITIVE_INFINITY)
  })

  it('collects while there is no session, in one frame however long that is', () => {
    const session = { stands: false }
    const { log, sent } = logOf(session)
    for (let i = 0; i < 1_000; i++) {
      record(log)
      vi.advanceTimersByTime(5_000)
    }
    session.stands = true
    log.resend()
    expect(sent.map(countOf)).toEqual([1_000])
  })
})
