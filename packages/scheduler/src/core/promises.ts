import type { PendingWork } from './demand.ts'
import { MinHeap } from './min-heap.ts'

type Promised = { work: PendingWork; device: number; untilMs: number }

/** Which waiting work a busy device was left for: one each way, so that not all wait for the same. */
export class Promises {
  readonly #byDevice = new Map<number, Promised>()
  readonly #byWork = new Map<PendingWork, Promised>()
  /** When the work first waited for a busy device. */
  readonly #since = new Map<PendingWork, number>()
  readonly #ends = new MinHeap<Promised>((a, b) => a.untilMs < b.untilMs)

  of(device: number): PendingWork | undefined {
    return this.#byDevice.get(device)?.work
  }

  sinceMs(work: PendingWork): number | undefined {
    return this.#since.get(work)
  }

  /** When the first of them is due: by then the device is free, or late, and the work must be looked at again. */
  nextMs(): number {
    // What no longer holds is dropped here, so that it does not pile up.
    for (let top = this.#ends.peek(); top !== undefined; top = this.#ends.peek()) {
      if (this.#byDevice.get(top.device) === top) return top.untilMs
      this.#ends.pop()
    }
    return Number.POSITIVE_INFINITY
  }

  give(device: number, work: PendingWork, untilMs: number, nowMs: number): void {
    const known = this.#byDevice.get(device)
    if (known?.work === work && known.untilMs === untilMs) return
    const before = this.#byWork.get(work)
    if (before !== undefined) this.#byDevice.delete(before.device)
    if (!this.#since.has(work)) this.#since.set(work, nowMs)
    const promised = { work, device, untilMs }
    this.#byDevice.set(device, promised)
    this.#byWork.set(work, promised)
    this.#ends.push(promised)
    this.nextMs()
  }

  dropDevice(device: number): void {
    const promised = this.#byDevice.get(device)
    if (promised === undefined) return
    this.#byDevice.delete(device)
    this.#byWork.delete(promised.work)
  }

  /** The work waits no longer. */
  dropWork(work: PendingWork): void {
    this.#since.delete(work)
    const promised = this.#byWork.get(work)
    if (promised === undefined) return
    this.#byWork.delete(work)
    this.#byDevice.delete(promised.device)
  }
}
