import type { Score } from '../framework.ts'

/** Reads watts and the predicted latency: joules of the run, zero where the watts are unknown. */
export const energyScore: Score = {
  name: 'energy',
  reads: 'device.watts, context.predict',
  cost: ({ artifact }, device, { predict }) =>
    artifact === null ? 0 : ((device.watts ?? 0) * Math.exp(predict(device, artifact.sha256).logMs)) / 1000
}
