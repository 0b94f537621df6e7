import { type Explanation, SkerryError } from '@skerry/contracts'
import { Explainer } from '@skerry/scheduler'
import type { Fleet } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { Placer } from './placer.ts'
import { absentSnapshot, snapshotOf } from './snapshots.ts'
import { demandKey, slotOf, type Terms, workRequest } from './work.ts'

/** Devices between two pauses, in which everything else has its turn. */
const PAGE = 500
/** Passes that wait for their turn; whoever asks beyond is told to come again. */
const WAITING_AT_MOST = 16
/** For each pass so many times as long is owed as a rest: those that nobody asked for take no more than a fifth of the time. */
const REST = 4
/** That much may be owed before nobody is told unasked any more. */
const OWED_AT_MOST_MS = 500
/** Until a pass has told what it takes. */
const FIRST_GUESS_MS = 10

/**
 * Why work is where it is, over all devices that are enrolled, by what is known of them now. That is a pass over the whole
 * fleet, far dearer than to place a job: there is one at a time, and those who only tell it beside share one.
 */
export class Explanations {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #placer: Placer
  readonly #recent = new Map<string, Promise<Explanation>>()
  #last: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #tookMs = FIRST_GUESS_MS
  #owedUntilMs = Number.NEGATIVE_INFINITY

  constructor(resources: EngineResources, fleet: Fleet, placer: Placer) {
    this.#resources = resources
    this.#fleet = fleet
    this.#placer = placer
  }

  /**
   * As it is now. `chosen`: the device that it went to, or null; `leftMs` until its deadline, null without one. Throws
   * SkerryError unavailable while too many ask.
   */
  async of(terms: Terms, chosen: string | null, leftMs: number | null): Promise<Explanation> {
    if (this.#waiting >= WAITING_AT_MOST)
      throw new SkerryError('unavailable', 'Too many explanations are asked for at this moment: try again in a second')
    this.#waiting += 1
    const turn = this.#last.then(async () => {
      const startedMs = this.#resources.nowMs()
      try {
        return await this.#passOver(terms, chosen, leftMs ?? Number.POSITIVE_INFINITY)
      } finally {
        this.#waiting -= 1
        const nowMs = this.#resources.nowMs()
        this.#tookMs = nowMs - startedMs
        this.#owedUntilMs = Math.max(this.#owedUntilMs, nowMs) + REST * this.#tookMs
      }
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }

  /** Of work that went nowhere; as it was a moment ago where somebody asked for the same then. */
  recent(terms: Terms): Promise<Explanation> {
    const key = demandKey(terms)
    const known = this.#recent.get(key)
    if (known !== undefined) return known
    const own = this.of(terms, null, null)
    this.#recent.set(key, own)
    own.then(
      () => setTimeout(() => this.#recent.delete(key), REST * this.#tookMs).unref(),
      () => this.#recent.delete(key)
    )
    return own
  }

  /** To be told beside a refusal. Null where it would cost more than it says: many are refused when there is much to do. */
  async summary(terms: Terms): Promise<string | null> {
    const isKnown = this.#recent.has(demandKey(terms))
    return isKnown || this.#owedMs() < OWED_AT_MOST_MS ? (await this.recent(terms)).summary : null
  }

  #owedMs(): number {
    return Math.max(0, this.#owedUntilMs - this.#resources.nowMs()) + this.#waiting * REST * this.#tookMs
  }

  async #passOver(terms: Terms, chosen: string | null, leftMs: number): Promise<Explanation> {
    const { devices } = this.#resources.registry
    const { deployment } = terms
    const slot = slotOf(terms.kind)
    const explainer = new Explainer(workRequest(terms), this.#placer.contextFor(terms, leftMs), chosen)
    const names = new Map<string, string>()
    let lastId: string | null = null
    do {
      const page = await devices.standingsAfter(deployment, lastId, PAGE)
      for (const { id, name, state, placement } of page) {
        names.set(id, name)
        const session = this.#fleet.get(id)
        if (session === undefined) {
          explainer.lookAt(absentSnapshot(id, state))
          continue
        }
        const { state: progress, reason } = placement ?? {}
        const known =
          progress === undefined ? [] : [[deployment ?? '', { state: progress, ...reasonOf(reason) }] as const]
        explainer.lookAt(snapshotOf(session, slot, new Map(known)))
      }
      lastId = page.length < PAGE ? null : (page.at(-1)?.id ?? null)
    } while (lastId !== null)
    return named(explainer.explanation(), chosen, names)
  }
}

/** With the names of the devices that it mentions, and of the chosen one in its summary. */
function named(explanation: Explanation, chosen: string | null, names: ReadonlyMap<string, string>): Explanation {
  const { rejected, candidates, summary } = explanation
  const mentioned = [...rejected.flatMap(({ examples }) => examples), ...candidates.map(({ device }) => device)]
  const nameOf = (id: string): string => names.get(id) ?? id
  return {
    ...explanation,
    summary: chosen === null ? summary : summary.replace(chosen, nameOf(chosen)),
    names: Object.fromEntries(mentioned.map((id) => [id, nameOf(id)]))
  }
}

const reasonOf = (reason: string | null | undefined) => (reason === null || reason === undefined ? {} : { reason })
