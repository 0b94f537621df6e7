import type { Score } from '../framework.ts'

/**
 * Reads how fast the device's kind is at everything: the time of a kind that is fast at all is dear, so that work goes
 * where it is done comparatively well and fast devices stay free for what only they can do in time.
 */
export const thriftScore: Score = {
  name: 'thrift',
  reads: 'kindLogMs',
  weight: { device: 0.5 },
  cost: ({ kindLogMs }) => -kindLogMs
}
