import type { Score } from '../framework.ts'

/** Reads how many runs were placed on the device beside others of its kind: equal devices age alike. */
export const wearScore: Score = {
  name: 'wear',
  reads: 'runs, kindRuns',
  // Likewise: of two that are equal otherwise the one that was used less.
  weight: { device: 0.005 },
  cost: ({ runs, kindRuns }) => Math.log((1 + runs) / (1 + kindRuns))
}
