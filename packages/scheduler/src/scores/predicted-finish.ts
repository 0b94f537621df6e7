import type { Score } from '../framework.ts'

/** Reads work ahead and the latency profile: when the device would be done, a cold start apart. */
export const predictedFinishScore: Score = {
  name: 'predicted-finish',
  reads: 'context.workAheadMs, context.predict',
  cost: (work, device, { workAheadMs, predict }) => workAheadMs(device) + Math.exp(predict(device, work).logMs)
}
