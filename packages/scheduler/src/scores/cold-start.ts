import type { Score } from '../framework.ts'
import { finishLogMs } from './candidate.ts'
import { predictedFinishScore } from './predicted-finish.ts'

/** Reads transfer, load and first run, where they are still to come: by what share they make the finish later. */
export const coldStartScore: Score = {
  name: 'cold-start',
  reads: 'coldStartMs, waitMs, runLogMs',
  weight: { device: 1, work: 1 },
  cost: (candidate) => (candidate.coldStartMs === 0 ? 0 : finishLogMs(candidate) - predictedFinishScore.cost(candidate))
}
