export type AdmissionCandidate = { aheadMs: number; coldStartMs: number; logMs: number; logSd: number }
export type AdmissionMode = 'strict' | 'best-effort'
export type Admission =
  | { kind: 'admitted' }
  /** Best effort only: it is taken although the prediction says that it will be late. */
  | { kind: 'admitted-late'; earliestFinishMs: number }
  | { kind: 'refused'; reason: 'no-eligible-device' | 'deadline-infeasible'; earliestFinishMs: number | null }

/** Of the latency's normal quantiles, what a strict deadline is held against: about nine runs in ten are within. */
const STRICT_Z = 1.28

/**
 * Whether work with this deadline (ms from now, infinite without one) is taken, by the devices that may do it. The
 * earliest time is the predicted one, with the same margin that the next submission will be held against.
 */
export function admit(
  candidates: Iterable<AdmissionCandidate>,
  deadlineMs: number,
  mode: AdmissionMode,
  z = STRICT_Z
): Admission {
  let earliestMs = Number.POSITIVE_INFINITY
  for (const { aheadMs, coldStartMs, logMs, logSd } of candidates)
    earliestMs = Math.min(earliestMs, aheadMs + coldStartMs + Math.exp(logMs + z * logSd))
  if (earliestMs <= deadlineMs && earliestMs < Number.POSITIVE_INFINITY) return { kind: 'admitted' }
  // Without any device a best-effort job waits for one to come; a strict one would only expire.
  if (earliestMs === Number.POSITIVE_INFINITY)
    return mode === 'best-effort' || deadlineMs === Number.POSITIVE_INFINITY
      ? { kind: 'admitted' }
      : { kind: 'refused', reason: 'no-eligible-device', earliestFinishMs: null }
  const earliestFinishMs = Math.ceil(earliestMs)
  return mode === 'best-effort'
    ? { kind: 'admitted-late', earliestFinishMs }
    : { kind: 'refused', reason: 'deadline-infeasible', earliestFinishMs }
}
