/** A day's log of an agent that works; of one that fails all the time, the last minutes. */
const MAX_BYTES = 512 * 1024
const MAX_LINE_CHARACTERS = 4_096

/** The last of what was logged, in memory: a stream for pino beside the one that people see. */
export class RecentLog {
  readonly #lines: string[] = []
  #bytes = 0
  /** Lines that made room for newer ones. */
  dropped = 0

  write(line: string): void {
    const kept = line.length > MAX_LINE_CHARACTERS ? `${line.slice(0, MAX_LINE_CHARACTERS)}…\n` : line
    this.#lines.push(kept)
    this.#bytes += kept.length
    while (this.#bytes > MAX_BYTES) {
      this.#bytes -= this.#lines.shift()?.length ?? 0
      this.dropped++
    }
  }

  /** As pino wrote them, the oldest first. */
  lines(): readonly string[] {
    return this.#lines
  }
}

const LEVELS: Record<number, string> = { 10: 'TRACE', 20: 'DEBUG', 30: 'INFO', 40: 'WARN', 50: 'ERROR', 60: 'FATAL' }

/** One line of pino for people: time, level, message, then what else it holds as JSON. */
export function readableLine(line: string): string {
  try {
    const { level, time, msg, pid: _pid, hostname: _hostname, name: _name, ...rest } = JSON.parse(line)
    const more = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`
    return `${new Date(time).toISOString()} ${(LEVELS[level] ?? String(level)).padEnd(5)} ${msg ?? ''}${more}`
  } catch {
    // Cut, or not of pino: as it is.
    return line.trimEnd()
  }
}
