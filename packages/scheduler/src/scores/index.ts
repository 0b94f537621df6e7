import type { Score } from '../framework.ts'
import { coldStartScore } from './cold-start.ts'
import { energyScore } from './energy.ts'
import { fairnessScore } from './fairness.ts'
import { predictedFinishScore } from './predicted-finish.ts'
import { wearScore } from './wear.ts'

export const SCORES: readonly Score[] = [predictedFinishScore, coldStartScore, energyScore, wearScore, fairnessScore]

/** By a score's name; one that is absent weighs nothing. Energy and wear only break ties. */
export type ScoreWeights = Readonly<Record<string, number>>
export const DEFAULT_WEIGHTS: ScoreWeights = {
  'predicted-finish': 1,
  'cold-start': 1,
  energy: 1e-3,
  wear: 1e-6,
  fairness: 0.3
}
