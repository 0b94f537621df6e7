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
 * Every device once, either rejected or a candidate. What is kept is bounded, however many devices there are and however
 * different their reasons; whoever has many may pause between them.
 */
export class Explainer {
  readonly #work: WorkRequest
  readonly #context: SchedulingContext
  readonly #chosen: string | null
  readonly #scores: WeightedScores
  readonly #rejected = new Map<string, Rejected>()
  readonly #best: Ranked[] = []
  #all = 0
  #free = 0
  #busy = 0
  #nextFreeMs = Number.POSITIVE_INFINITY

  /** `chosen` is where the work went, or null while it waits. */
  constructor(work: WorkRequest, context: SchedulingContext, chosen: string | null) {
    this.#work = work
    this.#context = context
    this.#chosen = chosen
    this.#scores = new WeightedScores(context.weights)
  }

  lookAt(device: DeviceSnapshot): void {
    this.#all += 1
    const rejection = firstRejection(this.#work, device, this.#context)
    if (rejection !== null) {
      count(this.#rejected, rejection, device.id)
      return
    }
    const candidate = this.#context.candidate(device, this.#work)
    if (device.freeSlots > 0) this.#free += 1
    else {
      this.#busy += 1
      this.#nextFreeMs = Math.min(this.#nextFreeMs, candidate.waitMs)
    }
    const total = this.#scores.cost(candidate)
    keepBest(this.#best, { device, chosen: device.id === this.#chosen, total, candidate })
  }

  explanation(): Explanation {
    const byCount = [...this.#rejected.values()].sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1))
    const parts = byCount.map((each) => `${each.count} ${words(each)}`)
    if (this.#busy > 0) {
      const next =
        this.#nextFreeMs < Number.POSITIVE_INFINITY ? `, next free in about ${duration(this.#nextFreeMs)}` : ''
      parts.push(`${this.#busy} busy${next}`)
    }
    if (this.#free > 0) parts.push(`${this.#free} free`)
    const devices = `${this.#all} ${this.#all === 1 ? 'device' : 'devices'}`
    const outcome = this.#chosen === null ? '' : `; placed on ${this.#chosen}`
    return {
      summary: `${devices}${parts.length > 0 ? ': ' : ''}${parts.join(', ')}${outcome}`,
      rejected: byCount,
      candidates: this.#best.map(({ device, chosen, candidate }) => ({
        device: device.id,
        predictedFinishMs: predictedFinishMs(candidate),
        scores: this.#scores.each(candidate),
        chosen,
        ...measuredOf(this.#context.measured(device, this.#work))
      }))
    }
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
