import {
  type AgentFrame,
  type Assignment,
  encodeFrame,
  type JobRef,
  MAX_FRAME_BYTES,
  mismatch,
  ResultFrame
} from '@skerry/contracts'
import type { Logger } from 'pino'
import { AgentError, wordsOf } from './agent-error.ts'
import type { OnPoint } from './agent-point.ts'
import { type ResultError, resultErrorOf } from './jobs/job-failure.ts'
import type { JobContext, JobExecutors, JobOutcome } from './jobs/job-outcome.ts'
import type { Journal } from './journal.ts'
import type { Lane } from './lane.ts'
import { ProgressThrottle } from './progress-throttle.ts'

export type JobDeskDeps = {
  executors: Partial<JobExecutors>
  lanes: { infer: Lane; convert: Lane }
  /** Throws `device-limited` while the device must not take work. */
  admit: () => Promise<void>
  journal: Journal
  /** False when there is no session; what matters is sent again when there is one. */
  send: (frame: AgentFrame, body?: readonly Uint8Array[]) => boolean
  now: () => number
  log: Logger
  onPoint: OnPoint
}

type Held = {
  ref: JobRef
  kind: Assignment['kind']
  controller: AbortController
  /** Why it was aborted: decides what its result says, or that there is none. */
  aborted: 'cancelled' | 'replaced' | 'stopped' | 'acknowledged' | null
  done: Promise<void>
}

const PROGRESS_INTERVAL_MS = 250
const RESEND_AFTER_MS = 30_000
const ACK_GRACE_MS = 1_000

const keyOf = ({ jobId, epoch }: JobRef): string => `${jobId}-${epoch}`

/**
 * Every job that this device holds, from its assignment to the acknowledgement of its result:
 *
 *     assign -> queued -> running -> result in the journal -> ack -> forgotten
 *                  \________\___ cancel, a newer epoch, stop
 *
 * Each job is answered once, whatever happens to it: the control plane counts its slot as taken until then.
 */
export class JobDesk {
  readonly #deps: JobDeskDeps
  readonly #held = new Map<string, Held>()
  readonly #acked = new Set<() => void>()
  #stopping = false

  constructor(deps: JobDeskDeps) {
    this.#deps = deps
  }

  /** Jobs that run or wait here, and results not yet acknowledged. */
  holding(): JobRef[] {
    return [...[...this.#held.values()].map(({ ref }) => ref), ...this.#deps.journal.refs()]
  }

  assign(ref: JobRef, work: Assignment, body: Uint8Array): void {
    if (this.#isKnown(ref)) return
    const controller = new AbortController()
    const held: Held = { ref, kind: work.kind, controller, aborted: null, done: Promise.resolve() }
    this.#held.set(keyOf(ref), held)
    this.#deps.onPoint('job-assigned')
    held.done = this.#work(held, work, body, this.#deps.now())
    if (this.#stopping) this.#abort(held, 'stopped')
  }

  /** Answers an assignment that this agent does not understand, so that it runs elsewhere or is seen to fail. */
  refuse(ref: JobRef, error: ResultError): void {
    if (this.#isKnown(ref)) return
    void this.#keepAndSend(ref, { type: 'result', ...ref, error }, [], false)
  }

  cancel(ref: JobRef): void {
    const held = this.#held.get(keyOf(ref))
    if (held !== undefined) this.#abort(held, 'cancelled')
  }

  /** The control plane needs nothing more of this job here: whatever the status, its result may be forgotten. */
  ack(ref: JobRef): void {
    const held = this.#held.get(keyOf(ref))
    if (held !== undefined) this.#abort(held, 'acknowledged')
    this.#deps.onPoint('result-acknowledged')
    this.#deps.journal.remove(ref)
    for (const listener of [...this.#acked]) listener()
  }

  /** After a new session began: everything unacknowledged goes out again. */
  async resendAll(): Promise<void> {
    await this.#resend(this.#deps.journal.refs())
  }

  /** In a session that stays: what was sent long ago and never acknowledged. */
  async resendStale(): Promise<void> {
    await this.#resend(this.#deps.journal.unsentSince(this.#deps.now() - RESEND_AFTER_MS))
  }

  /**
   * Hands back what does not end by itself within `graceMs` as retryable failures, and waits a moment for the
   * acknowledgements; what is not acknowledged stays in the journal for the next start.
   */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    const all = [...this.#held.values()]
    for (const held of all) if (held.kind !== 'inference') this.#abort(held, 'stopped')
    const timer = setTimeout(() => {
      for (const held of all) this.#abort(held, 'stopped')
    }, graceMs)
    await Promise.all(all.map(({ done }) => done))
    clearTimeout(timer)
    await this.#untilAcked()
  }

  #isKnown(ref: JobRef): boolean {
    if (this.#held.has(keyOf(ref))) return true
    if (this.#deps.journal.has(ref)) {
      void this.#resend([ref])
      return true
    }
    for (const held of this.#held.values()) {
      if (held.ref.jobId !== ref.jobId) continue
      if (held.ref.epoch > ref.epoch) return true
      this.#abort(held, 'replaced')
    }
    return false
  }

  #abort(held: Held, why: NonNullable<Held['aborted']>): void {
    // The first reason stands, except that what is acknowledged already is not answered whatever the reason was.
    if (held.aborted === null || why === 'acknowledged') held.aborted = why
    held.controller.abort(new AgentError('aborted'))
  }

  async #work(held: Held, work: Assignment, body: Uint8Array, receivedAtMs: number): Promise<void> {
    const { ref, controller } = held
    const throttle = new ProgressThrottle(PROGRESS_INTERVAL_MS, (progress) => {
      this.#deps.send({ type: 'progress', ...ref, progress })
    })
    const context: JobContext = {
      ...ref,
      receivedAtMs,
      signal: controller.signal,
      progress: (stage, percent, message, log) =>
        throttle.report({ stage, percent, message, ...(log === undefined ? {} : { log: [...log] }) })
    }
    let frame: ResultFrame
    let parts: readonly Uint8Array[] = []
    try {
      const outcome = await this.#inLane(work, body, context)
      frame = { type: 'result', ...ref, ...outcome.result }
      parts = outcome.body
      refuseUnsendable(frame, parts)
    } catch (error) {
      parts = []
      frame = { type: 'result', ...ref, error: this.#errorOf(held, error) }
      this.#deps.log.warn({ ...ref, kind: work.kind, error: frame.error }, 'a job failed')
    }
    throttle.end()
    this.#held.delete(keyOf(ref))
    // Work that takes minutes is worth an fsync; an inference is repeated in less time than one takes.
    if (held.aborted !== 'acknowledged') await this.#keepAndSend(ref, frame, parts, work.kind !== 'inference')
  }

  async #inLane(work: Assignment, body: Uint8Array, context: JobContext): Promise<JobOutcome> {
    const execute = this.#deps.executors[work.kind] as JobExecutors[typeof work.kind] | undefined
    if (execute === undefined) throw new AgentError('not-placed', `This device does not do ${work.kind} jobs.`)
    await this.#deps.admit()
    const lane = work.kind === 'conversion' ? this.#deps.lanes.convert : this.#deps.lanes.infer
    const release = await lane.take(context.signal)
    try {
      this.#deps.onPoint('job-running')
      return await (execute as (work: Assignment, body: Uint8Array, context: JobContext) => Promise<JobOutcome>)(
        work,
        body,
        context
      )
    } finally {
      release()
    }
  }

  #errorOf({ aborted }: Held, error: unknown): ResultError {
    if (aborted === 'cancelled') return { code: 'cancelled', message: 'The job was cancelled.', retryable: false }
    if (aborted === 'replaced') {
      return { code: 'cancelled', message: 'A newer attempt at the job came to this device.', retryable: false }
    }
    if (aborted === 'stopped') {
      return { code: 'agent-failed', message: 'The agent was stopped before the job ended.', retryable: true }
    }
    return resultErrorOf(error)
  }

  async #keepAndSend(ref: JobRef, frame: ResultFrame, parts: readonly Uint8Array[], durable: boolean): Promise<void> {
    try {
      await this.#deps.journal.put(ref, { frame, body: Buffer.concat(parts) }, durable)
    } catch (error) {
      // A full disk must not cost the answer; it only cannot be sent twice.
      this.#deps.log.error({ ...ref, error: wordsOf(error) }, 'a result could not be kept on the disk')
    }
    if (!this.#deps.send(frame, parts)) return
    this.#deps.journal.markSent(ref, this.#deps.now())
    this.#deps.onPoint('result-sent')
  }

  async #resend(refs: readonly JobRef[]): Promise<void> {
    for (const ref of refs) {
      const entry = await this.#deps.journal.read(ref)
      // It may have been acknowledged while it was read.
      if (entry === null || !this.#deps.journal.has(ref)) continue
      const sent = this.#deps.send(entry.frame, entry.body.byteLength === 0 ? [] : [entry.body])
      if (!sent) return
      this.#deps.journal.markSent(ref, this.#deps.now())
    }
  }

  #untilAcked(): Promise<void> {
    return new Promise((resolve) => {
      const settle = (): void => {
        clearTimeout(timer)
        this.#acked.delete(look)
        resolve()
      }
      const look = (): void => {
        if (this.#deps.journal.refs().length === 0) settle()
      }
      const timer = setTimeout(settle, ACK_GRACE_MS)
      this.#acked.add(look)
      look()
    })
  }
}

/** A frame that the control plane would refuse would be sent again for ever; better a failure that says why. */
function refuseUnsendable(frame: ResultFrame, parts: readonly Uint8Array[]): void {
  const wrong = mismatch(ResultFrame, frame)
  if (wrong !== null) {
    throw new AgentError('result-invalid', `The result is not what the protocol allows: ${JSON.stringify(wrong)}`)
  }
  const encoded = encodeFrame(frame, parts)
  const bytes = typeof encoded === 'string' ? Buffer.byteLength(encoded) : encoded.byteLength
  if (bytes > MAX_FRAME_BYTES) throw new AgentError('result-invalid', `The result takes ${bytes} bytes in one frame.`)
}
