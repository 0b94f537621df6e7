/** Less says more about the start of a transfer than about the network. */
const LEAST_BYTES = 64 * 1024
/** Of the newest transfer; the rest is what was known before. */
const WEIGHT = 0.3

export type NetworkFacts = { downloadBytesPerSecond?: number; firstByteMs?: number }

/** What transfers from the control plane told of the way there, smoothed over the last few. Nothing is sent for it. */
export class NetworkMeter {
  #bytesPerSecond: number | null = null
  #firstByteMs: number | null = null

  /** From asking for a file until its answer began. */
  answered(ms: number): void {
    this.#firstByteMs = smoothed(this.#firstByteMs, ms)
  }

  /** What of it arrived, also of a transfer that was cut, and how long that took. */
  transferred(bytes: number, ms: number): void {
    if (bytes < LEAST_BYTES || ms <= 0) return
    this.#bytesPerSecond = smoothed(this.#bytesPerSecond, (bytes / ms) * 1000)
  }

  facts(): NetworkFacts {
    return {
      ...(this.#bytesPerSecond === null ? {} : { downloadBytesPerSecond: Math.round(this.#bytesPerSecond) }),
      ...(this.#firstByteMs === null ? {} : { firstByteMs: Math.round(this.#firstByteMs * 10) / 10 })
    }
  }
}

const smoothed = (before: number | null, now: number): number =>
  before === null ? now : before + WEIGHT * (now - before)
