import type { PendingWork } from './demand.ts'
import type { Line } from './line.ts'

export const isOlder = (a: PendingWork, b: PendingWork): boolean =>
  a.deadlineMs < b.deadlineMs || (a.deadlineMs === b.deadlineMs && a.order < b.order)

/** Lines by what each would do first: class, deadline, age. */
export const byFirstWork = (a: Line, b: Line): number => {
  const [first, second] = [a.first(), b.first()]
  if (first === undefined || second === undefined) return 0
  return second.priority - first.priority || (isOlder(first, second) ? -1 : 1)
}
