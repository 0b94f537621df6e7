import type { Score } from '../framework.ts'

/** Reads what share of the model's requests failed lately beside all models': what was served worse goes first. */
export const fairnessScore: Score = {
  name: 'fairness',
  reads: 'failedLogShare',
  weight: { work: 0.3 },
  cost: ({ failedLogShare }) => -failedLogShare
}
