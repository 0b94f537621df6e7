import type { PendingWork } from './demand.ts'
import type { FinishTimes } from './finish-times.ts'
import type { Line } from './line.ts'
import type { LineTable } from './line-table.ts'
import { MinHeap } from './min-heap.ts'

type Look = { line: Line; atMs: number }

const SOON = Number.NEGATIVE_INFINITY
/** Looks that no longer hold, beside those that do, before they are cleared away. */
const STALE = 64

/**
 * When each line's most urgent work has no time left, so that what is hopeless is found without a walk over all lines. What
 * the prediction gives it changes meanwhile: a line is looked at again when half of its time is over, or at once where it
 * lost a device.
 */
export class HopelessWatch {
  readonly #lines: LineTable
  readonly #times: FinishTimes
  #looks = emptyHeap()

  constructor(lines: LineTable, times: FinishTimes) {
    this.#lines = lines
    this.#times = times
  }

  get size(): number {
    return this.#looks.size
  }

  /** The work has just joined the line. */
  joined(work: PendingWork, line: Line): void {
    if (work.deadlineMs === Number.POSITIVE_INFINITY || !line.isHead(work)) return
    const hopelessMs = work.deadlineMs - this.#times.leastOfLineMs(line)
    this.#lookAt(line, Math.min(hopelessMs, (hopelessMs + work.submittedAtMs) / 2))
  }

  /** What may do its work, or how soon, has become less. */
  lookSoon(line: Line): void {
    if (line.waiting > 0) this.#lookAt(line, SOON)
  }

  /** Of each line where that may be so, what no device can finish in time, taken out. */
  *take(nowMs: number): IterableIterator<{ line: Line; works: PendingWork[] }> {
    const due: Line[] = []
    for (let look = this.#looks.peek(); look !== undefined && look.atMs <= nowMs; look = this.#looks.peek()) {
      this.#looks.pop()
      if (look.atMs !== look.line.lookAtMs) continue
      look.line.lookAtMs = Number.POSITIVE_INFINITY
      due.push(look.line)
    }
    for (const line of due) {
      if (line.waiting === 0) continue
      const leastMs = this.#times.leastOfLineMs(line)
      const works = line.takeWhile(({ deadlineMs }) => deadlineMs <= nowMs || deadlineMs < nowMs + leastMs)
      const nextMs = line.soonestDeadlineMs() - leastMs
      if (nextMs < Number.POSITIVE_INFINITY) this.#lookAt(line, Math.max(nowMs, nowMs + (nextMs - nowMs) / 2))
      if (works.length > 0) yield { line, works }
    }
  }

  #lookAt(line: Line, atMs: number): void {
    if (atMs >= line.lookAtMs) return
    line.lookAtMs = atMs
    this.#looks.push({ line, atMs })
    if (this.#looks.size > 2 * this.#lines.size + STALE) this.#clear()
  }

  #clear(): void {
    const kept = emptyHeap()
    for (const look of this.#looks)
      if (look.atMs === look.line.lookAtMs && this.#lines.find(look.line.demand.key) === look.line) kept.push(look)
    this.#looks = kept
  }
}

const emptyHeap = (): MinHeap<Look> => new MinHeap<Look>((a, b) => a.atMs < b.atMs)
