import type { WriteStream } from 'node:tty'

const INTERVAL_MS = 2_000
const BAR_WIDTH = 24

/** Progress for a person: one line that moves on a terminal, a line now and then elsewhere. */
export class ProgressLine {
  readonly #out: WriteStream
  readonly #now: () => number
  #lastMs = Number.NEGATIVE_INFINITY
  #lastStage = ''
  #drawn = false

  constructor(out: WriteStream, now: () => number) {
    this.#out = out
    this.#now = now
  }

  report({ stage, percent, message }: { stage: string; percent: number; message: string }): void {
    const share = Math.round(percent).toString().padStart(3)
    if (this.#out.isTTY) {
      const filled = Math.round((BAR_WIDTH * percent) / 100)
      const line = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)} ${share} % ${message}`
      this.#out.write(`\r\u001b[2K${line.slice(0, this.#out.columns - 1)}`)
      this.#drawn = true
      return
    }
    const nowMs = this.#now()
    if (stage === this.#lastStage && nowMs - this.#lastMs < INTERVAL_MS) return
    this.#lastMs = nowMs
    this.#lastStage = stage
    this.#out.write(`${share} % ${message}\n`)
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#drawn) this.#out.write('\r\u001b[2K')
    this.#drawn = false
  }
}
