import type { Score } from '../framework.ts'

/** Reads the chance to be in time: what may well be late costs more than the mean says. */
export const certaintyScore: Score = {
  name: 'certainty',
  reads: 'logChance',
  weight: { device: 2, work: 2 },
  cost: ({ logChance }) => -logChance
}
