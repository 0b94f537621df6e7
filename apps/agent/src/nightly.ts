const FIRST_HOUR = 2
const HOURS = 3
const HOUR_MS = 3_600_000
/** A day of 25 hours, and the night's hours. */
const MOST_AHEAD_MS = 28 * HOUR_MS

/**
 * The next moment between two and five o'clock at night, local time, drawn by `random` (0 up to 1): a fleet does not
 * do it all at once.
 */
export function nextNightMs(nowMs: number, random: number): number {
  const start = new Date(nowMs)
  start.setHours(FIRST_HOUR, 0, 0, 0)
  // Past the start of this night's hours it is tomorrow's turn: twice in one night proves nothing more.
  if (start.getTime() <= nowMs) start.setDate(start.getDate() + 1)
  return start.getTime() + Math.floor(random * HOURS * HOUR_MS)
}

export type NightlyDeps = { run: () => void; random: () => number; now: () => number }

/**
 * Runs something once a night. It looks at the clock every hour instead of trusting one long timer: a device may have
 * started in 1970 and been told the time since, or slept.
 */
export class Nightly {
  readonly #deps: NightlyDeps
  #dueMs = 0
  #timer: NodeJS.Timeout | null = null

  constructor(deps: NightlyDeps) {
    this.#deps = deps
  }

  start(): void {
    this.#dueMs = nextNightMs(this.#deps.now(), this.#deps.random())
    this.#wait()
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  #wait(): void {
    const leftMs = this.#dueMs - this.#deps.now()
    this.#timer = setTimeout(() => this.#look(), Math.min(Math.max(leftMs, 1), HOUR_MS))
    this.#timer.unref()
  }

  #look(): void {
    const now = this.#deps.now()
    if (now >= this.#dueMs) this.#deps.run()
    // Also where the clock went back by days: what is due lies in the next night, not in one far ahead.
    if (now >= this.#dueMs || this.#dueMs - now > MOST_AHEAD_MS) {
      this.#dueMs = nextNightMs(now, this.#deps.random())
    }
    this.#wait()
  }
}
