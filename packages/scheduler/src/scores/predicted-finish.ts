import type { Score } from '../framework.ts'

/** Reads work ahead and the latency profile: when the device would be done, a cold start apart. */
export const predictedFinishScore: Score = {
  name: 'predicted-finish',
  reads: 'context.workAheadMs, context.predict',
  cost: ({ artifact }, device, { workAheadMs, predict }) =>
    workAheadMs(device) + (artifact === null ? 0 : Math.exp(predict(device, artifact.sha256).logMs))
}
