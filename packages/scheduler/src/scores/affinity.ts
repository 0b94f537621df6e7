import type { Score } from '../framework.ts'
import { finishLogMs } from './candidate.ts'

/** Reads how much longer the device takes for the work than the fastest kind that may do it: it waits for its peers. */
export const affinityScore: Score = {
  name: 'affinity',
  reads: 'fastestLogMs, waitMs, coldStartMs, runLogMs',
  weight: { work: 1 },
  cost: (candidate) => finishLogMs(candidate) - candidate.fastestLogMs
}
