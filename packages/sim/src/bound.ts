import { noiseSteps } from './noise.ts'
import { bestStarts, type PricedRun, pricedRuns, startCosts } from './start-prices.ts'
import type { Workload } from './workload.ts'

export type Bound = { goodputPercent: number; how: string }
export type BoundOptions = { noise: number; slices?: number; rounds?: number }

/** First steps of a price, as shares of what a deadline is worth for a device's usual run. */
const STEPS = [0.3, 0.03, 0.01, 0.004]

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
  const slices = options.slices ?? (requests > 100_000 ? 120 : 600)
  const rounds = options.rounds ?? 80
  const kinds = workload.table.devices.length
  const horizonMs = workload.deadlineMs.reduce((last, ms) => Math.max(last, ms), 0)
  if (requests === 0 || !(horizonMs > 0)) return { goodputPercent: 100, how: HOW }
  const sliceMs = horizonMs / slices
  const devices = workload.devicesByKind.map((own) => own.length)
  const runs = pricedRuns(workload, noiseSteps(options.noise), sliceMs)
  const used = new Float64Array(kinds * slices)
  const usualMs = usualRunMs(runs, kinds)
  let bestPrices = new Float64Array(kinds * slices)
  let best = requests
  // The best step depends on how crowded the world is: from coarse to fine, each from the best prices so far.
  for (const worth of STEPS) {
    const prices = bestPrices.slice()
    const squares = new Float64Array(kinds * slices)
    for (let round = 0; round < rounds / STEPS.length; round++) {
      used.fill(0)
      const kept = bestStarts(runs, startCosts(runs, prices, slices), slices, used, Math.max(0.02, worth / 2))
      const paid = prices.reduce((sum, price, at) => sum + price * (devices[Math.floor(at / slices)] as number), 0)
      if (paid + kept < best) {
        best = paid + kept
        bestPrices = prices.slice()
      }
      for (let at = 0; at < prices.length; at++) {
        const kind = Math.floor(at / slices)
        const over = (used[at] as number) - (devices[kind] as number)
        if (over < 0 && prices[at] === 0) continue
        squares[at] = (squares[at] as number) + over * over
        const firstStep = worth * Math.min(1, sliceMs / (usualMs[kind] as number))
        prices[at] = Math.max(
          0,
          (prices[at] as number) + (firstStep * over) / Math.sqrt((squares[at] as number) + 1e-9)
        )
      }
    }
  }
  return { goodputPercent: (100 * best) / requests, how: HOW }
}

/** Geometric mean of a kind's runs, as often as they are asked for: what a price is measured by. */
function usualRunMs(runs: readonly PricedRun[], kinds: number): Float64Array {
  const logs = new Float64Array(kinds)
  const weights = new Float64Array(kinds)
  for (const run of runs) {
    logs[run.kind] = (logs[run.kind] as number) + run.asked * Math.log(run.tableMs)
    weights[run.kind] = (weights[run.kind] as number) + run.asked
  }
  return logs.map((sum, k) => Math.exp(sum / Math.max(1e-9, weights[k] as number)))
}
