import type { Score } from '../framework.ts'

/** Reads when the device is free and the latency profile: the time until the run would be over, a cold start apart. */
export const predictedFinishScore: Score = {
  name: 'predicted-finish',
  reads: 'waitMs, runLogMs',
  weight: { device: 1, work: 1 },
  cost: ({ waitMs, runLogMs }) => (waitMs === 0 ? runLogMs : Math.log(waitMs + Math.exp(runLogMs)))
}
