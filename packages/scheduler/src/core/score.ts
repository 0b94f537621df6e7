import type { PendingWork } from './demand.ts'
import type { Line } from './line.ts'
import type { SchedulerConfig } from './scheduler-config.ts'

/** Score of one more `agingMs` of age: beyond what any difference in urgency, fit and length comes to after a few. */
const OVERDUE_WEIGHT = 5

/**
 * How right it is that a device which needs `ms` for the work, and is in time with this chance, does it now; `fastestMs`
 * is what the best kind needs.
 */
export function scoreOf(
  work: PendingWork,
  nowMs: number,
  ms: number,
  fastestMs: number,
  logChance: number,
  failedLogShare: number,
  { urgency, affinity, shortness, fairness, certainty, agingMs }: SchedulerConfig
): number {
  const ageMs = nowMs - work.submittedAtMs
  // Without a deadline soon age makes it urgent, and at last more than anything: it is not passed over for ever.
  const slackMs = Math.max(0, Math.min(work.deadlineMs - nowMs - ms, agingMs - ageMs))
  return (
    -urgency * Math.log(slackMs + 0.1 * ms + 1e-6) -
    affinity * Math.log(ms / fastestMs) -
    shortness * Math.log(ms) +
    certainty * logChance +
    fairness * failedLogShare +
    OVERDUE_WEIGHT * Math.max(0, ageMs / agingMs - 1)
  )
}

export const isOlder = (a: PendingWork, b: PendingWork): boolean =>
  a.deadlineMs < b.deadlineMs || (a.deadlineMs === b.deadlineMs && a.order < b.order)

/** Lines by what each would do first: class, deadline, age. */
export const byFirstWork = (a: Line, b: Line): number => {
  const [first, second] = [a.first(), b.first()]
  if (first === undefined || second === undefined) return 0
  return second.priority - first.priority || (isOlder(first, second) ? -1 : 1)
}
