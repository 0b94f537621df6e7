import { FILTERS } from './filters/index.ts'
import type { DeviceSnapshot, Filter, FilterContext, SchedulingContext, WorkRequest } from './framework.ts'
import type { PairProfile } from './profiles/pair-profiles.ts'
import { type Candidate, predictedFinishMs } from './scores/candidate.ts'
import { WeightedScores } from './scores/weights.ts'

const EXAMPLES = 5
const CANDIDATES = 10
/** Kinds of reasons that are told apart; what comes after is counted by filter. */
const REASONS = 50
const SAYS_WHAT_IT_DOES = /^(lacks|has|cannot) /
const SAYS_WHAT_IT_IS = /^(too hot|other reasons)/

/** contract.md's explanation. */
export type Explanation = {
  summary: string
  rejected: { filter: string; reason: string; count: number; examples: string[] }[]
  candidates: {
    device: string
    predictedFinishMs: number
    scores: Record<string, number>
    chosen: boolean
    measured?: { runs: number; p50Ms: number; p95Ms: number }
  }[]
}
export type Rejection = { filter: string; reason: string }

/** The first filter that says no, or null: the device may do the work. */
export function firstRejection(
  work: WorkRequest,
  device: DeviceSnapshot,
  context: FilterContext,
  filters: readonly Filter[] = FILTERS
): Rejection | null {
  for (const filter of filters) {
    const reason = filter.reject(work, device, context)
    if (reason !== null) return { filter: filter.name, reason }
  }
  return null
}

/**
 * Every device once, either rejected or a candidate; `chosen` is where the work went, or null while it waits. One pass, and
 * what is kept is bounded, however many devices there are and however different their reasons.
 */
export function explain(
  work: WorkRequest,
  devices: Iterable<DeviceSnapshot>,
  context: SchedulingContext,
  chosen: string | null = null
): Explanation {
  const scores = new WeightedScores(context.weights)
  const rejected = new Map<string, Rejected>()
  const best: Ranked[] = []
  let [all, free, busy, nextFreeMs] = [0, 0, 0, Number.POSITIVE_INFINITY]
  for (const device of devices) {
    all += 1
    const rejection = firstRejection(work, device, context)
    if (rejection !== null) {
      count(rejected, rejection, device.id)
      continue
    }
    const candidate = context.candidate(device, work)
    if (device.freeSlots > 0) free += 1
    else {
      busy += 1
      nextFreeMs = Math.min(nextFreeMs, candidate.waitMs)
    }
    const total = scores.cost(candidate)
    keepBest(best, { device, chosen: device.id === chosen, total, candidate })
  }
  const byCount = [...rejected.values()].sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1))
  const parts = byCount.map((each) => `${each.count} ${words(each)}`)
  if (busy > 0)
    parts.push(
      `${busy} busy${nextFreeMs < Number.POSITIVE_INFINITY ? `, next free in about ${duration(nextFreeMs)}` : ''}`
    )
  if (free > 0) parts.push(`${free} free`)
  const outcome = chosen === null ? '' : `; placed on ${chosen}`
  return {
    summary: `${all} ${all === 1 ? 'device' : 'devices'}${parts.length > 0 ? ': ' : ''}${parts.join(', ')}${outcome}`,
    rejected: byCount,
    candidates: best.map(({ device, chosen, candidate }) => ({
      device: device.id,
      predictedFinishMs: predictedFinishMs(candidate),
      scores: scores.each(candidate),
      chosen,
      ...measuredOf(context.measured(device, work))
    }))
  }
}

type Rejected = Explanation['rejected'][number]
type Ranked = { device: DeviceSnapshot; chosen: boolean; total: number; candidate: Candidate }

function count(rejected: Map<string, Rejected>, { filter, reason }: Rejection, device: string): void {
  let key = `${filter}\n${reason}`
  if (!rejected.has(key) && rejected.size >= REASONS) key = filter
  let entry = rejected.get(key)
  if (entry === undefined) {
    entry = { filter, reason: key === filter ? `other reasons (${filter})` : reason, count: 0, examples: [] }
    rejected.set(key, entry)
  }
  entry.count += 1
  if (entry.examples.length < EXAMPLES) entry.examples.push(device)
}

const measuredOf = (profile: PairProfile | null) =>
  profile === null ? {} : { measured: { runs: profile.runs, p50Ms: profile.p50Ms, p95Ms: profile.p95Ms } }

/** The chosen one first, then the least cost. */
function keepBest(best: Ranked[], ranked: Ranked): void {
  let at = best.length
  while (at > 0 && comesBefore(ranked, best[at - 1] as Ranked)) at -= 1
  if (at >= CANDIDATES) return
  best.splice(at, 0, ranked)
  if (best.length > CANDIDATES) best.pop()
}

const comesBefore = (a: Ranked, b: Ranked): boolean =>
  a.chosen !== b.chosen ? a.chosen : a.total < b.total || (a.total === b.total && a.device.id < b.device.id)

/** After a number: "7 lack operator ...", "1 lacks operator ...", "3 cordoned", "2 where too little memory is free". */
function words({ filter, reason, count }: Rejected): string {
  if (filter === 'state' || SAYS_WHAT_IT_IS.test(reason)) return reason
  if (!SAYS_WHAT_IT_DOES.test(reason)) return `where ${reason}`
  return count === 1 ? reason : reason.replace(/(^|; )lacks /g, '$1lack ').replace(/(^|; )has /g, '$1have ')
}

const duration = (ms: number): string =>
  ms < 1_000 ? `${Math.round(ms)} ms` : ms < 120_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`
