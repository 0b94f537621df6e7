import type { Score } from '../framework.ts'
import type { Candidate } from './candidate.ts'
import { SCORES } from './index.ts'

/** By a score's name; one that is absent weighs nothing. */
export type Weights = Readonly<Record<string, number>>
/** A decision is one of two: which free device does this work, or which waiting work this device that became free does. */
export type ScoreWeights = { device: Weights; work: Weights }

/** As the scores themselves say. */
export const DEFAULT_WEIGHTS: ScoreWeights = { device: weightsOf('device'), work: weightsOf('work') }

function weightsOf(choice: keyof ScoreWeights): Weights {
  return Object.fromEntries(
    SCORES.flatMap(({ name, weight }) => (weight[choice] === undefined ? [] : [[name, weight[choice]]]))
  )
}

/** The defaults with what differs from them. @throws RangeError for a name that no score has, or a weight that is none. */
export function weightsFrom(changes: { [choice in keyof ScoreWeights]?: Weights }): ScoreWeights {
  const names = SCORES.map(({ name }) => name)
  for (const own of [changes.device, changes.work])
    for (const [name, weight] of Object.entries(own ?? {})) {
      if (!names.includes(name)) throw new RangeError(`no score is named ${name}: there are ${names.join(', ')}`)
      if (!(Number.isFinite(weight) && weight >= 0)) throw new RangeError(`the weight of ${name} is a number from 0 on`)
    }
  return {
    device: { ...DEFAULT_WEIGHTS.device, ...changes.device },
    work: { ...DEFAULT_WEIGHTS.work, ...changes.work }
  }
}

/** The scores that weigh something. */
export class WeightedScores {
  readonly #scores: readonly Score[]
  readonly #weights: readonly number[]

  constructor(weights: Weights, scores: readonly Score[] = SCORES) {
    this.#scores = scores.filter(({ name }) => (weights[name] ?? 0) !== 0)
    this.#weights = this.#scores.map(({ name }) => weights[name] as number)
  }

  /** The least is best. */
  cost(candidate: Candidate): number {
    let sum = 0
    for (let i = 0; i < this.#scores.length; i++)
      sum += (this.#weights[i] as number) * (this.#scores[i] as Score).cost(candidate)
    return sum
  }

  /** Each score's own cost, before its weight. */
  each(candidate: Candidate): Record<string, number> {
    return Object.fromEntries(this.#scores.map(({ name, cost }) => [name, cost(candidate)]))
  }
}
