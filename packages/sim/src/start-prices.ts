import type { NoiseStep } from './noise.ts'
import type { Workload } from './workload.ts'

/** A model on a kind of device; lengths of its run in slices, shortest first, with the probability of each. */
export type PricedRun = {
  model: number
  kind: number
  devices: number
  tableMs: number
  asked: number
  lengths: Float64Array
  shares: Float64Array
  groups: readonly Group[]
}
/** Requests of one model that came in the same slice. Times in slices. */
type Group = { slice: number; lastArrival: number; patience: number; count: number }

export function pricedRuns(workload: Workload, steps: readonly NoiseStep[], sliceMs: number): PricedRun[] {
  const { table, devicesByKind } = workload
  const kinds = table.devices.length
  const sorted = [...steps].sort((a, b) => a.factor - b.factor)
  const groups = groupRequests(workload, sliceMs)
  return table.models.flatMap((_, model) => {
    const own = groups.get(model) ?? []
    const asked = own.reduce((sum, { count }) => sum + count, 0)
    if (asked === 0) return []
    return table.devices.flatMap((__, kind) => {
      const tableMs = table.ms[model * kinds + kind] as number
      const devices = devicesByKind[kind]?.length ?? 0
      if (!(tableMs > 0) || devices === 0) return []
      const lengths = Float64Array.from(sorted, ({ factor }) => (factor * tableMs) / sliceMs)
      const shares = Float64Array.from(sorted, ({ share }) => share)
      return [{ model, kind, devices, tableMs, asked, lengths, shares, groups: own }]
    })
  })
}

function groupRequests({ arrivalMs, deadlineMs, model }: Workload, sliceMs: number): Map<number, Group[]> {
  const groups = new Map<number, Group[]>()
  for (let i = 0; i < arrivalMs.length; i++) {
    const m = model[i] as number
    const own = groups.get(m) ?? []
    groups.set(m, own)
    const arrival = (arrivalMs[i] as number) / sliceMs
    const patience = (deadlineMs[i] as number) / sliceMs - arrival
    const slice = Math.floor(arrival)
    const last = own[own.length - 1]
    if (last?.slice === slice) {
      last.count += 1
      last.lastArrival = arrival
      last.patience = Math.max(last.patience, patience)
    } else own.push({ slice, lastArrival: arrival, patience, count: 1 })
  }
  return groups
}

/**
 * For each run and slice, no more than the expected cost of the run when it starts anywhere in that slice. The cost of a
 * run of one length is linear in its start except where start or end meet a slice's edge, so its least is at one of these.
 */
export function startCosts(runs: readonly PricedRun[], prices: Float64Array, slices: number): Float64Array[] {
  const kinds = prices.length / slices
  const upTo = new Float64Array(kinds * (slices + 1))
  for (let k = 0; k < kinds; k++)
    for (let t = 0; t < slices; t++)
      upTo[k * (slices + 1) + t + 1] = (upTo[k * (slices + 1) + t] as number) + (prices[k * slices + t] as number)
  return runs.map(({ kind, lengths, shares }) => {
    const costs = new Float64Array(slices)
    const sums = upTo.subarray(kind * (slices + 1), (kind + 1) * (slices + 1))
    const own = prices.subarray(kind * slices, (kind + 1) * slices)
    if ((sums[slices] as number) === 0) return costs
    const total = sums[slices] as number
    lengths.forEach((length, j) => {
      const share = shares[j] as number
      const whole = Math.floor(length)
      const part = length - whole
      let here = costFrom(0, whole, part, sums, own, slices, total)
      for (let t = 0; t < slices; t++) {
        const next = costFrom(t + 1, whole, part, sums, own, slices, total)
        const endAt = t + whole + 1
        const between =
          (endAt >= slices ? total : (sums[endAt] as number)) - (sums[t] as number) - (1 - part) * (own[t] as number)
        costs[t] = (costs[t] as number) + share * Math.min(here, next, between)
        here = next
      }
    })
    return costs
  })
}

const costFrom = (
  start: number,
  whole: number,
  part: number,
  sums: Float64Array,
  own: Float64Array,
  slices: number,
  total: number
): number => {
  if (start >= slices) return 0
  const end = start + whole
  const until = end >= slices ? total : (sums[end] as number) + part * (own[end] as number)
  return until - (sums[start] as number)
}

/**
 * Sum over requests of what their best start is worth beyond its cost. `used` is told where starts use devices: each
 * request is shared out over the kinds, by speed and by how near each comes to the best (within about `softness`), so that
 * kinds that are as good do not take turns in being crowded.
 */
export function bestStarts(
  runs: readonly PricedRun[],
  costs: readonly Float64Array[],
  slices: number,
  used: Float64Array,
  softness: number
): number {
  let sum = 0
  for (let from = 0; from < runs.length; ) {
    const { model, groups } = runs[from] as PricedRun
    let to = from
    while (runs[to]?.model === model) to += 1
    const own = runs.slice(from, to)
    const ownCosts = costs.slice(from, to)
    for (const group of groups) {
      const starts = own.map((run, r) => bestStart(run, ownCosts[r] as Float64Array, group, slices))
      const best = Math.max(0, ...starts.map(({ value }) => value))
      sum += group.count * best
      if (best === 0) continue
      const weights = starts.map(({ value }, r) => {
        const { devices, tableMs } = own[r] as PricedRun
        return value > 0 ? (devices / tableMs) * Math.exp((value - best) / softness) : 0
      })
      const all = weights.reduce((a, b) => a + b, 0)
      weights.forEach((weight, r) => {
        const share = weight / all
        if (share > 1e-3) use(own[r] as PricedRun, starts[r]?.slice as number, group.count * share, slices, used)
      })
    }
    from = to
  }
  return sum
}

function bestStart({ lengths, shares }: PricedRun, cost: Float64Array, group: Group, slices: number) {
  const { slice, lastArrival, patience } = group
  const end = lastArrival + patience
  const best = { value: 0, slice }
  let kept = 1
  let j = lengths.length - 1
  for (let t = slice; t < slices && t <= end; t++) {
    const room = t === slice ? patience : end - t
    while (j >= 0 && (lengths[j] as number) > room + 1e-9) kept -= shares[j--] as number
    if (j < 0) break
    const value = kept - (cost[t] as number)
    if (value > best.value) {
      best.value = value
      best.slice = t
    }
    // Later starts are worth no more than this, whatever they cost.
    if (kept <= best.value) break
  }
  return best
}

function use({ kind, lengths, shares }: PricedRun, from: number, count: number, slices: number, used: Float64Array) {
  for (let j = 0; j < lengths.length; j++) {
    let left = lengths[j] as number
    for (let t = from; left > 0 && t < slices; t++) {
      const at = kind * slices + t
      used[at] = (used[at] as number) + count * (shares[j] as number) * Math.min(1, left)
      left -= 1
    }
  }
}
