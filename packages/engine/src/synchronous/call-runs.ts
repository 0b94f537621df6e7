import { type ControlFrame, MAX_FRAME_BYTES } from '@skerry/contracts'
import type { Fetched, QueueEntry } from '@skerry/queue'
import { jobKey } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { PlacedJob, WorkTimes } from '../scheduling/work.ts'
import type { CallRef, CallRoute, CallTicket } from './call.ts'

export type FetchedCall = { job: PlacedJob; times: WorkTimes; entry: QueueEntry }
export type CallAssignment = {
  frame: (artifact: string) => Extract<ControlFrame, { type: 'assign' }>
  body: Uint8Array[]
  route: (variant: string | null) => CallRoute
}

type Place = { deviceId: string; session: number }
type Run = { ref: CallRef; ticket: CallTicket; deadlineMs: number; place: Place | null }

export type CallRunsParts = {
  /** Tells the replica that a caller waits at. */
  onLost: (origin: string, calls: CallRef[], reason: string) => void
  /** What is known of a call that came in at this replica and has not ended. */
  pendingHere: (id: string) => { body: Uint8Array; deadlineAtMs: number } | undefined
}

/**
 * Calls in the scheduler's hands, for one term:
 *
 *   fetched from a pool --> waiting --decision--> on a device --released--> gone
 *                               |                     | the device left
 *                               '--- gone at its deadline, or when nobody asks any more
 *
 * Nothing here survives the term. The replica that a caller waits at finds out, and asks again.
 */
export class CallRuns {
  readonly #resources: EngineResources
  readonly #parts: CallRunsParts
  readonly #runs = new Map<string, Run>()
  readonly #byDevice = new Map<string, Set<string>>()

  constructor(resources: EngineResources, parts: CallRunsParts) {
    this.#resources = resources
    this.#parts = parts
  }

  /** Those of the entries that somebody still waits for. */
  async open(fetched: readonly Fetched[]): Promise<FetchedCall[]> {
    if (fetched.length === 0) return []
    const deadlines = await this.#deadlines(fetched)
    const submittedAtMs = this.#resources.nowMs()
    const calls: FetchedCall[] = []
    for (const { id, epoch, data } of fetched) {
      const deadlineMs = deadlines.get(id)
      if (deadlineMs === undefined || deadlineMs <= submittedAtMs) continue
      const { terms } = data as CallTicket
      const { pool, priority } = terms
      const times = { submittedAtMs, deadlineMs }
      calls.push({ job: { id, epoch, ...terms }, times, entry: { id, epoch, pool, priority, data } })
    }
    return calls
  }

  /** By our clock. Of calls from elsewhere Valkey tells how long their tensors are kept, so that no clocks are compared. */
  async #deadlines(fetched: readonly Fetched[]): Promise<Map<string, number>> {
    const deadlines = new Map<string, number>()
    const elsewhere: string[] = []
    for (const { id, data } of fetched) {
      const here = this.#parts.pendingHere(id)
      if (here !== undefined) deadlines.set(id, here.deadlineAtMs)
      else if ((data as CallTicket).origin !== this.#resources.bus.id) elsewhere.push(id)
    }
    if (elsewhere.length === 0) return deadlines
    const left = await this.#resources.queue.bodies.remainingMs(elsewhere)
    const nowMs = this.#resources.nowMs()
    for (const [i, id] of elsewhere.entries()) deadlines.set(id, nowMs + (left[i] ?? 0))
    return deadlines
  }

  /** The placer has it. */
  taken({ job, times, entry }: FetchedCall): void {
    const ref = { id: job.id, epoch: job.epoch }
    const key = jobKey(ref.id, ref.epoch)
    this.#runs.set(key, { ref, ticket: entry.data as CallTicket, deadlineMs: times.deadlineMs, place: null })
  }

  has(key: string): boolean {
    return this.#runs.has(key)
  }

  /** Where it runs; null while it waits, undefined when it is not here. */
  placeOf(key: string): Place | null | undefined {
    return this.#runs.get(key)?.place
  }

  placed(key: string, place: Place): void {
    const run = this.#runs.get(key)
    if (run === undefined) return
    run.place = place
    const keys = this.#byDevice.get(place.deviceId) ?? new Set()
    this.#byDevice.set(place.deviceId, keys.add(key))
  }

  /** What to send of a call that was placed; null when nobody asks for it any more. */
  async assignment(key: string): Promise<CallAssignment | null> {
    const run = this.#runs.get(key)
    if (run === undefined) return null
    const { ref, ticket } = run
    const body = this.#parts.pendingHere(ref.id)?.body ?? (await this.#resources.queue.bodies.get(ref.id))
    // It ended, or its deadline passed, while its tensors were on their way.
    if (body === null || !this.#runs.has(key) || this.#resources.nowMs() >= run.deadlineMs) return null
    const { inputs, outputs } = ticket.payload
    const deployment = ticket.terms.deployment ?? ''
    return {
      frame: (artifact) => ({
        type: 'assign',
        jobId: ref.id,
        epoch: ref.epoch,
        work: { kind: 'inference', deployment, artifact, inputs, outputs, inlineBytes: MAX_FRAME_BYTES }
      }),
      body: body.byteLength === 0 ? [] : [body],
      route: (variant) => ({ origin: ticket.origin, variant })
    }
  }

  /** Forgets it. */
  gone(key: string): void {
    const run = this.#runs.get(key)
    if (run === undefined) return
    this.#runs.delete(key)
    if (run.place === null) return
    const keys = this.#byDevice.get(run.place.deviceId)
    keys?.delete(key)
    if (keys?.size === 0) this.#byDevice.delete(run.place.deviceId)
  }

  lost(keys: Iterable<string>, reason: string): void {
    const byOrigin = new Map<string, CallRef[]>()
    for (const key of keys) {
      const run = this.#runs.get(key)
      if (run === undefined) continue
      this.gone(key)
      const { origin } = run.ticket
      byOrigin.set(origin, [...(byOrigin.get(origin) ?? []), run.ref])
    }
    for (const [origin, calls] of byOrigin) this.#parts.onLost(origin, calls, reason)
  }

  /** The device is away, or came back without what it had: all but what it still runs in `session`. */
  deviceLost(deviceId: string, kept?: { session: number; running: ReadonlyMap<string, unknown> }): void {
    const lost = [...(this.#byDevice.get(deviceId) ?? [])].filter(
      (key) => kept === undefined || this.#runs.get(key)?.place?.session !== kept.session || !kept.running.has(key)
    )
    this.lost(lost, `device ${deviceId} went away with it`)
  }

  /** Those that were not placed, of one pool or of all. */
  waiting(pool?: string): string[] {
    const isMeant = ({ place, ticket }: Run) => place === null && (pool === undefined || ticket.terms.pool === pool)
    return [...this.#runs].filter(([, run]) => isMeant(run)).map(([key]) => key)
  }

  /** Those that wait although their time is over. */
  overdue(): string[] {
    const nowMs = this.#resources.nowMs()
    return [...this.#runs].filter(([, run]) => run.place === null && run.deadlineMs <= nowMs).map(([key]) => key)
  }
}
