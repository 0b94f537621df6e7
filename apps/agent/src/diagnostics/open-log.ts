import { createRequire } from 'node:module'
import type * as Pino from 'pino'
import type { DestinationStream, Logger } from 'pino'
import { RecentLog } from './recent-log.ts'

// Required, not imported: the first import of a CommonJS package starts a lexer that an agent keeps.
const { multistream, pino } = createRequire(import.meta.url)('pino') as typeof Pino

/** A logger that also keeps the last of what it wrote, so that diagnostics can show it. */
export function openLog(
  level: string,
  destination: DestinationStream = pino.destination(1)
): { logger: Logger; recentLog: RecentLog } {
  const recentLog = new RecentLog()
  // The logger's own level decides what is logged; the streams take all of it.
  const streams = multistream([
    { level: 'trace', stream: destination },
    { level: 'trace', stream: recentLog }
  ])
  return { logger: pino({ name: 'agent', level }, streams), recentLog }
}
