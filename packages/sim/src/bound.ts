import { noiseSteps } from './noise.ts'
import { bestStarts, type PricedRun, pricedRuns, startCosts } from './start-prices.ts'
import type { Workload } from './workload.ts'

export type Bound = { goodputPercent: number; how: string }
export type BoundOptions = { noise: number; slices?: number; rounds?: number }

const HOW =
  'weak duality: let a device of kind k cost p_k(t) >= 0 per ms at time t. No schedule that starts each request at most ' +
  'once, does not interrupt it and does not know the noise of a run before it, keeps more deadlines in expectation than ' +
  'sum over kinds of devices x integral of p_k, plus the sum over requests of max(0, the best over kinds and starts of ' +
  'P(run ends by the deadline) - E(what the run costs)). Prices are constant in slices of time and found by subgradient ' +
  'steps; any prices give a valid bound, the least is reported. The noise is taken from below (mass moved to the lower ' +
  'edge of its quantile bin). It knows all arrivals and the whole table, and may share out a request in fractions, so no ' +
  'policy need be able to reach it. Churn and drift are left out of it, they only take capacity away.'

/**
 * An upper bound on the expected share of requests in time, for any policy in this world: the dual of the assignment of
 * requests to (kind, start), which is a linear program once a request may be shared out (see HOW).
 */
export function upperBound(workload: Workload, options: BoundOptions): Bound {
  const requests = workload.arrivalMs.length
  const slices = options.slices ?? 600
  const rounds = options.rounds ?? 40
  const kinds = workload.table.devices.length
  const horizonMs = workload.deadlineMs.reduce((last, ms) => Math.max(last, ms), 0)
  if (requests === 0 || !(horizonMs > 0)) return { goodputPercent: 100, how: HOW }
  const sliceMs = horizonMs / slices
  const devices = workload.devicesByKind.map((own) => own.length)
  const runs = pricedRuns(workload, noiseSteps(options.noise), sliceMs)
  const prices = new Float64Array(kinds * slices)
  const used = new Float64Array(kinds * slices)
  const seenSquares = new Float64Array(kinds * slices)
  const stepOf = stepSizes(runs, kinds, sliceMs)
  let best = requests
  for (let round = 0; round < rounds; round++) {
    used.fill(0)
    const kept = bestStarts(runs, startCosts(runs, prices, slices), slices, used)
    let paid = 0
    for (let k = 0; k < kinds; k++)
      for (let t = 0; t < slices; t++) paid += (prices[k * slices + t] as number) * (devices[k] as number)
    best = Math.min(best, paid + kept)
    for (let k = 0; k < kinds; k++)
      for (let t = 0; t < slices; t++) {
        const at = k * slices + t
        const over = (used[at] as number) - (devices[k] as number)
        if (over < 0 && prices[at] === 0) continue
        seenSquares[at] = (seenSquares[at] as number) + over * over
        const step = ((stepOf[k] as number) * over) / Math.sqrt((seenSquares[at] as number) + 1e-9)
        prices[at] = Math.max(0, (prices[at] as number) + step)
      }
  }
  return { goodputPercent: (100 * best) / requests, how: HOW }
}

/** A kind's price of a slice moves at first by what makes its usual run cost a fiftieth of what a deadline is worth. */
function stepSizes(runs: readonly PricedRun[], kinds: number, sliceMs: number): Float64Array {
  const logs = new Float64Array(kinds)
  const weights = new Float64Array(kinds)
  for (const run of runs) {
    logs[run.kind] = (logs[run.kind] as number) + run.asked * Math.log(run.tableMs)
    weights[run.kind] = (weights[run.kind] as number) + run.asked
  }
  return logs.map((sum, k) => Math.min(0.02, (0.02 * sliceMs) / Math.exp(sum / Math.max(1e-9, weights[k] as number))))
}
