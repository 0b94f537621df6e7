import type { Score } from '../framework.ts'
import { predictedFinishMs } from './candidate.ts'

/** Of a run's time, what slack of nothing counts for: beyond it a little less slack does not make work ever more urgent. */
const LEAST_SLACK = 0.1

/** Reads the time that is left beyond the run: work with little goes first. */
export const urgencyScore: Score = {
  name: 'urgency',
  reads: 'slackMs, waitMs, coldStartMs, runLogMs',
  weight: { work: 0.5 },
  cost: (candidate) => Math.log(candidate.slackMs + LEAST_SLACK * predictedFinishMs(candidate) + 1e-6)
}
