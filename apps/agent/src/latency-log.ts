import type { AgentFrame, RuntimeName } from '@skerry/contracts'
import { Histogram } from '@skerry/telemetry/histogram'
import type { OnPoint } from './agent-point.ts'

export type LatencyFrame = Extract<AgentFrame, { type: 'latency' }>
type Series = { deployment: string; artifact: string; runtime: RuntimeName; histogram: Histogram }

/** After this long without another inference the counts go out; a stream of jobs is then over. */
const QUIET_MS = 2_000
const RESEND_AFTER_MS = 30_000
const MAX_SERIES = 256

export type LatencyLogDeps = {
  /** False when there is no session. */
  send: (frame: LatencyFrame) => boolean
  now: () => number
  onPoint?: OnPoint
}

/**
 * Inference times since the last acknowledged frame, as histograms. One frame is under way at a time and keeps its
 * `seq` until it is acknowledged, so that it counts once however often it is sent; meanwhile the next one collects.
 * What it holds is bounded by the number of series, however long the device is offline.
 */
export class LatencyLog {
  readonly #deps: LatencyLogDeps
  #open = new Map<string, Series>()
  #underWay: { frame: LatencyFrame; sentAtMs: number } | null = null
  #lastSeq: number
  #quiet: NodeJS.Timeout | null = null

  constructor(deps: LatencyLogDeps) {
    this.#deps = deps
    // A restart goes on above every number used before, without a file: no agent sends a frame per millisecond.
    this.#lastSeq = deps.now()
  }

  record(deployment: string, artifact: string, runtime: RuntimeName, inferenceMs: number): void {
    const key = `${deployment}/${artifact}/${runtime}`
    let series = this.#open.get(key)
    if (series === undefined) {
      series = { deployment, artifact, runtime, histogram: new Histogram() }
      this.#open.set(key, series)
    }
    series.histogram.record(inferenceMs)
    if (this.#quiet === null) this.#quiet = setTimeout(() => this.flush(), QUIET_MS)
    else this.#quiet.refresh()
  }

  /** Sends what is open, or again what has been under way for long. */
  flush(): void {
    const now = this.#deps.now()
    if (this.#underWay !== null) {
      if (now - this.#underWay.sentAtMs >= RESEND_AFTER_MS) this.resend()
      return
    }
    const taken = [...this.#open].slice(0, MAX_SERIES)
    if (taken.length === 0) return
    const series = taken.map(([, { histogram, ...rest }]) => ({ ...rest, histogram: histogram.toJSON() }))
    const frame: LatencyFrame = { type: 'latency', seq: this.#lastSeq + 1, series }
    if (!this.#deps.send(frame)) return
    for (const [key] of taken) this.#open.delete(key)
    this.#lastSeq = frame.seq
    this.#underWay = { frame, sentAtMs: now }
    this.#deps.onPoint?.('latency-sent')
  }

  /** In a new session, what the last one left unacknowledged. */
  resend(): void {
    if (this.#underWay === null) this.flush()
    else if (this.#deps.send(this.#underWay.frame)) this.#underWay.sentAtMs = this.#deps.now()
  }

  ack(seq: number): void {
    if (this.#underWay?.frame.seq !== seq) return
    this.#underWay = null
    this.#deps.onPoint?.('latency-acknowledged')
    // What came in meanwhile waits for its own quiet moment or the next heartbeat.
  }

  stop(): void {
    if (this.#quiet !== null) clearTimeout(this.#quiet)
    this.flush()
  }
}
