import type { Score } from '../framework.ts'

/** Reads how many runs were placed on the device beside others of its kind: equal devices age alike. */
export const wearScore: Score = {
  name: 'wear',
  reads: 'runs, kindRuns',
  cost: ({ runs, kindRuns }) => Math.log((1 + runs) / (1 + kindRuns))
}
