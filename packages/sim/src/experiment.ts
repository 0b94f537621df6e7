import { type Bound, upperBound } from './bound.ts'
import type { LatencyTable } from './csv.ts'
import { policyOf } from './policies.ts'
import { type PredictionError, quantiles } from './prediction.ts'
import { mean, meanInterval } from './quantile.ts'
import { type PolicyReport, report } from './report.ts'
import { makeWorkload, type WorkloadOptions } from './workload.ts'
import { type Disturbance, simulate } from './world.ts'

export const FIGURES = [
  'goodputPercent',
  'failedPercent',
  'missedPercent',
  'refusedPercent',
  'worstModelFailedPercent',
  'p50Ms',
  'p99Ms'
] as const
export type Figure = (typeof FIGURES)[number]

/**
 * Means over the seeds, and half the width of each mean's 95 % confidence interval; |log(run / prediction)| over the runs
 * of all seeds.
 */
export type Summary = PolicyReport & {
  ci95: Record<Figure, number>
  bySeed: PolicyReport[]
  predictionError: PredictionError
}
export type Experiment = {
  table: LatencyTable
  trace: Float64Array
  fleet: Omit<WorkloadOptions, 'seed'>
  disturbance: Disturbance
  seeds: readonly number[]
}

/** Runs one policy over the same worlds as every other. */
export function runPolicy(name: string, experiment: Experiment): Summary {
  const { table, trace, fleet, disturbance, seeds } = experiment
  const errors: number[] = []
  const reports = seeds.map((seed) => {
    const workload = makeWorkload(table, trace, { ...fleet, seed })
    const outcome = simulate(workload, policyOf(name, seed), { seed, ...disturbance })
    for (const error of outcome.seenErrors) errors.push(error)
    return report(name, workload, outcome)
  })
  return { ...summarize(reports), predictionError: quantiles(errors) }
}

export function boundOf({ table, trace, fleet, disturbance, seeds }: Experiment): Bound {
  const bounds = seeds.map((seed) => upperBound(makeWorkload(table, trace, { ...fleet, seed }), disturbance))
  return { goodputPercent: mean(bounds.map((each) => each.goodputPercent)), how: bounds[0]?.how ?? '' }
}

function summarize(reports: readonly PolicyReport[]): Omit<Summary, 'predictionError'> {
  const [head] = reports
  if (head === undefined) throw new RangeError('a summary needs at least one seed')
  const intervals = FIGURES.map((figure) => [figure, meanInterval(reports.map((each) => each[figure]))] as const)
  const means = Object.fromEntries(intervals.map(([figure, { mean: centre }]) => [figure, centre]))
  const ci95 = Object.fromEntries(intervals.map(([figure, { half }]) => [figure, half])) as Record<Figure, number>
  return { ...head, ...means, ci95, bySeed: [...reports] }
}
