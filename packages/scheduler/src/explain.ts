import { FILTERS } from './filters/index.ts'
import type { DeviceSnapshot, Filter, SchedulingContext, WorkRequest } from './framework.ts'
import { DEFAULT_WEIGHTS, SCORES, type ScoreWeights } from './scores/index.ts'

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
  candidates: { device: string; predictedFinishMs: number; scores: Record<string, number>; chosen: boolean }[]
}
export type Rejection = { filter: string; reason: string }

/** The first filter that says no, or null: the device may do the work. */
export function firstRejection(
  work: WorkRequest,
  device: DeviceSnapshot,
  context: SchedulingContext,
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
  chosen: string | null = null,
  weights: ScoreWeights = DEFAULT_WEIGHTS
): Explanation {
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
    if (device.freeSlots > 0) free += 1
    else {
      busy += 1
      nextFreeMs = Math.min(nextFreeMs, context.workAheadMs(device))
    }
    keepBest(best, rank(work, device, context, device.id === chosen, weights))
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
    candidates: best.map(({ candidate }) => candidate)
  }
}

type Rejected = Explanation['rejected'][number]
type Ranked = { candidate: Explanation['candidates'][number]; total: number }

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

function rank(
  work: WorkRequest,
  device: DeviceSnapshot,
  context: SchedulingContext,
  chosen: boolean,
  weights: ScoreWeights
): Ranked {
  const scores: Record<string, number> = {}
  let total = 0
  for (const { name, cost } of SCORES) {
    const each = cost(work, device, context)
    scores[name] = each
    total += (weights[name] ?? 0) * each
  }
  const predictedFinishMs = (scores['predicted-finish'] as number) + (scores['cold-start'] as number)
  return { candidate: { device: device.id, predictedFinishMs, scores, chosen }, total }
}

/** The chosen one first, then the least cost. */
function keepBest(best: Ranked[], ranked: Ranked): void {
  let at = best.length
  while (at > 0 && comesBefore(ranked, best[at - 1] as Ranked)) at -= 1
  if (at >= CANDIDATES) return
  best.splice(at, 0, ranked)
  if (best.length > CANDIDATES) best.pop()
}

const comesBefore = (a: Ranked, b: Ranked): boolean =>
  a.candidate.chosen !== b.candidate.chosen
    ? a.candidate.chosen
    : a.total < b.total || (a.total === b.total && a.candidate.device < b.candidate.device)

/** After a number: "7 lack operator ...", "1 lacks operator ...", "3 cordoned", "2 where too little memory is free". */
function words({ filter, reason, count }: Rejected): string {
  if (filter === 'state' || SAYS_WHAT_IT_IS.test(reason)) return reason
  if (!SAYS_WHAT_IT_DOES.test(reason)) return `where ${reason}`
  return count === 1 ? reason : reason.replace(/(^|; )lacks /g, '$1lack ').replace(/(^|; )has /g, '$1have ')
}

const duration = (ms: number): string =>
  ms < 1_000 ? `${Math.round(ms)} ms` : ms < 120_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`
