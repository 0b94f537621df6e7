import { type DestinationStream, type Logger, multistream, pino } from 'pino'
import { RecentLog } from './recent-log.ts'

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
