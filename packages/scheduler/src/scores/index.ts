import type { Score } from '../framework.ts'
import { affinityScore } from './affinity.ts'
import { ageScore } from './age.ts'
import { certaintyScore } from './certainty.ts'
import { coldStartScore } from './cold-start.ts'
import { energyScore } from './energy.ts'
import { fairnessScore } from './fairness.ts'
import { predictedFinishScore } from './predicted-finish.ts'
import { thriftScore } from './thrift.ts'
import { urgencyScore } from './urgency.ts'
import { wearScore } from './wear.ts'

export const SCORES: readonly Score[] = [
  predictedFinishScore,
  coldStartScore,
  certaintyScore,
  thriftScore,
  energyScore,
  wearScore,
  urgencyScore,
  affinityScore,
  fairnessScore,
  ageScore
]
