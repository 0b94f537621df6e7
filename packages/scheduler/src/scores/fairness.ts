import type { Score } from '../framework.ts'

/** Reads what share of the model's requests failed beside all models': below zero for one that was served worse. */
export const fairnessScore: Score = {
  name: 'fairness',
  reads: 'context.failedShare',
  cost: ({ model }, _, { failedShare }) => {
    const { own, all } = failedShare(model)
    return -Math.log((own + 0.01) / (all + 0.01))
  }
}
