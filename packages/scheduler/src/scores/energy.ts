import type { Score } from '../framework.ts'

/** What a device is taken to draw that does not tell. */
const USUAL_WATTS = 5

/**
 * Reads the power that the device last told. The energy of a run is that times its time, and the time is counted by
 * predicted-finish: what is left is how much power the device draws beside a usual one.
 */
export const energyScore: Score = {
  name: 'energy',
  reads: 'watts',
  // Only between devices that are nearly equal: twice the power counts as 1.4 % more time.
  weight: { device: 0.02 },
  cost: ({ watts }) => (watts > 0 ? Math.log(watts / USUAL_WATTS) : 0)
}
