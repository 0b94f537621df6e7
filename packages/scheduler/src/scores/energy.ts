import type { Score } from '../framework.ts'

/** Reads watts and the predicted latency: joules of the run, zero where the watts are unknown. */
export const energyScore: Score = {
  name: 'energy',
  reads: 'device.watts, context.predict',
  cost: (work, device, { predict }) =>
    device.watts === null ? 0 : (device.watts * Math.exp(predict(device, work).logMs)) / 1000
}
