import type { Score } from '../framework.ts'

/** Reads how long work waited that has no deadline soon: past a certain age it goes before anything of its class. */
export const ageScore: Score = {
  name: 'age',
  reads: 'overdue',
  weight: { work: 5 },
  cost: ({ overdue }) => -overdue
}
