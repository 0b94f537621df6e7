/**
 * What scores may know of one piece of work on one device. One object is filled anew for each pair, so that a decision
 * allocates nothing. Logarithms are natural, times in milliseconds.
 *
 * Where a device is chosen for given work, what depends on the work alone is the same for all and stays at its neutral
 * value; those are marked.
 */
export type Candidate = {
  /** Until the device has a free slot; zero where it has one. */
  waitMs: number
  /** Transfer, load and first run, where they are still to come. */
  coldStartMs: number
  /** Of the run, as it is predicted there. */
  runLogMs: number
  /** Logarithm of the chance that it is over by the deadline; zero where that is sure. */
  logChance: number
  /** How long devices of its kind take on average for all that runs anywhere: low for a kind that is fast at everything. */
  kindLogMs: number
  /** Power that the device draws by its last word; zero where it does not tell. */
  watts: number
  /** Runs that were placed there, and on the devices of its kind on average. */
  runs: number
  kindRuns: number
  /** Of the work: the run on the fastest kind that may do it. */
  fastestLogMs: number
  /** Of the work: time that is left when the run is over, until the deadline or, without one soon, until it is old. */
  slackMs: number
  /** Of the work: its age in multiples of the age at which it is old, beyond the first. */
  overdue: number
  /** Of the work: logarithm of the share of its model's requests that failed lately over that of all. */
  failedLogShare: number
}

export const newCandidate = (): Candidate => ({
  waitMs: 0,
  coldStartMs: 0,
  runLogMs: 0,
  logChance: 0,
  kindLogMs: 0,
  watts: 0,
  runs: 0,
  kindRuns: 0,
  fastestLogMs: 0,
  slackMs: 0,
  overdue: 0,
  failedLogShare: 0
})

/** Of wait, cold start and run together. */
export const finishLogMs = ({ waitMs, coldStartMs, runLogMs }: Candidate): number =>
  waitMs + coldStartMs === 0 ? runLogMs : Math.log(waitMs + coldStartMs + Math.exp(runLogMs))

export const predictedFinishMs = ({ waitMs, coldStartMs, runLogMs }: Candidate): number =>
  waitMs + coldStartMs + Math.exp(runLogMs)
