import { quantile } from './quantile.ts'
import type { Workload } from './workload.ts'
import type { Outcome } from './world.ts'

export type PolicyReport = {
  name: string
  requests: number
  goodputPercent: number
  failedPercent: number
  missedPercent: number
  refusedPercent: number
  worstModelFailedPercent: number
  p50Ms: number
  p99Ms: number
}

export function report(
  name: string,
  { arrivalMs, deadlineMs, model, table }: Workload,
  outcome: Outcome
): PolicyReport {
  const requests = arrivalMs.length
  const asked = new Int32Array(table.models.length)
  const failed = new Int32Array(table.models.length)
  let missed = 0
  let refused = 0
  const latencies: number[] = []
  for (let i = 0; i < requests; i++) {
    const m = model[i] as number
    asked[m] = (asked[m] as number) + 1
    const finished = outcome.finishedMs[i] as number
    const isRefused = outcome.refused[i] === 1
    const isMissed = !isRefused && finished > (deadlineMs[i] as number)
    if (isRefused) refused += 1
    else if (finished < Number.POSITIVE_INFINITY) latencies.push(finished - (arrivalMs[i] as number))
    if (isMissed) missed += 1
    if (isRefused || isMissed) failed[m] = (failed[m] as number) + 1
  }
  latencies.sort((a, b) => a - b)
  const shares = [...asked].map((n, m) => (n >= 50 ? (failed[m] as number) / n : 0))
  const percent = (n: number) => (100 * n) / requests
  return {
    name,
    requests,
    goodputPercent: 100 - percent(missed + refused),
    failedPercent: percent(missed + refused),
    missedPercent: percent(missed),
    refusedPercent: percent(refused),
    worstModelFailedPercent: 100 * Math.max(...shares),
    p50Ms: quantile(latencies, 0.5),
    p99Ms: quantile(latencies, 0.99)
  }
}
