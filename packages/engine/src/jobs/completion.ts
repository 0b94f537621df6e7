import {
  type FrameTensor,
  INLINE_TENSOR_BYTES,
  type JobError,
  type JobKind,
  type ResultFrame,
  sliceTensors
} from '@skerry/contracts'
import {
  type AttemptTimings,
  endJobs,
  findJob,
  type JobEnd,
  type JobRow,
  type Requeue,
  requeueJob,
  type StoredTensor
} from '@skerry/registry'
import { Batcher } from '../batcher.ts'
import type { Connections } from '../devices/connections.ts'
import { jobKey, type Release } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { Outbox } from './outbox.ts'

export type AckStatus = 'accepted' | 'stale' | 'unknown'
export type Applied = { status: AckStatus; outcome: Release['outcome'] }

/** What a kind of job does with its result before the row ends; it may refuse the result by throwing. */
export type ResultHandlers = {
  conversion: (row: JobRow, frame: ResultFrame) => Promise<void>
  benchmark: (row: JobRow, frame: ResultFrame) => Promise<void>
  /** After a row ended for good, however it did. */
  ended: (row: { id: string; kind: string; state: string }) => void
}

/**
 * Applies what devices report, once:
 *
 *   running --result--> succeeded | failed
 *   running --retryable error, lost device--> queued (epoch + 1), or failed when its attempts are used up
 *
 * Anything of an older epoch changes no row; it is counted, and acknowledged so that the agent may forget it.
 */
export class Completion {
  readonly #resources: EngineResources
  readonly #outbox: Outbox
  readonly #connections: Connections
  readonly #handlers: ResultHandlers
  readonly #ends: Batcher<JobEnd, JobKind | undefined>

  constructor(resources: EngineResources, outbox: Outbox, connections: Connections, handlers: ResultHandlers) {
    this.#resources = resources
    this.#outbox = outbox
    this.#connections = connections
    this.#handlers = handlers
    this.#ends = new Batcher(async (ends) => {
      const done = await endJobs(resources.registry.pool, ends)
      return ends.map((end) => done.get(end.id))
    })
  }

  async onResult(deviceId: string, frame: ResultFrame, body: Uint8Array): Promise<Applied> {
    const status =
      frame.error !== undefined
        ? await this.#onError(deviceId, frame, frame.error)
        : await this.#onSuccess(deviceId, frame, body)
    if (status !== 'accepted') this.#resources.metrics.staleResultsDropped.inc()
    return { status, outcome: status === 'accepted' ? outcomeOf(frame) : 'void' }
  }

  /** Gives a running job back to the queue, or ends it when it was tried often enough. True when it was still running. */
  async giveBack(requeue: Requeue, kind: string): Promise<boolean> {
    const outcome = await requeueJob(this.#resources.registry.pool, requeue)
    if (outcome === null) return false
    if (outcome.state === 'queued') {
      this.#resources.metrics.jobAttemptsRequeued.inc({ kind, reason: requeue.error.code })
      this.#outbox.enqueue([outcome])
    } else this.ended({ id: outcome.id, kind, state: 'failed' })
    return true
  }

  ended(row: { id: string; kind: string; state: string }): void {
    this.#resources.metrics.jobs.inc({ kind: row.kind, state: row.state })
    this.#handlers.ended(row)
  }

  async #onError(deviceId: string, frame: ResultFrame, error: NonNullable<ResultFrame['error']>): Promise<AckStatus> {
    const { retryable, killedRuntime = false, ...plain } = error
    if (retryable) {
      const row = await findJob(this.#resources.registry.pool, frame.jobId)
      if (row === null) return 'unknown'
      const requeue = { id: frame.jobId, epoch: frame.epoch, deviceId, error: plain as JobError, killedRuntime }
      return (await this.giveBack(requeue, row.kind)) ? 'accepted' : 'stale'
    }
    return this.#end(deviceId, frame, 'failed', { result: null, outputs: null, error: plain as JobError })
  }

  async #onSuccess(deviceId: string, frame: ResultFrame, body: Uint8Array): Promise<AckStatus> {
    if (frame.outputs !== undefined) {
      const { stored, inline } = storeTensors(frame.outputs, body)
      const large = stored.find(({ blob, bytes }) => blob === undefined && bytes > INLINE_TENSOR_BYTES)
      if (large !== undefined) {
        // The result of a call that nobody here knows any more may hold such; no row does.
        const row = await findJob(this.#resources.registry.pool, frame.jobId)
        if (row === null) return 'unknown'
        if (row.state !== 'running') return 'stale'
        throw new Error(`output ${large.name} is too large for a frame: send a blob`)
      }
      return this.#end(deviceId, frame, 'succeeded', { result: { outputs: stored }, outputs: inline, error: null })
    }
    const row = await findJob(this.#resources.registry.pool, frame.jobId)
    if (row === null) return 'unknown'
    if (row.state !== 'running' || row.epoch !== frame.epoch || row.device_id !== deviceId) return 'stale'
    if (row.kind === 'conversion') {
      await this.#handlers.conversion(row, frame)
      return this.#end(deviceId, frame, 'succeeded', { result: frame.conversion ?? null, outputs: null, error: null })
    }
    await this.#handlers.benchmark(row, frame)
    return this.#end(deviceId, frame, 'succeeded', { result: frame.benchmark ?? null, outputs: null, error: null })
  }

  async #end(
    deviceId: string,
    frame: ResultFrame,
    state: 'succeeded' | 'failed',
    outcome: Pick<JobEnd, 'result' | 'outputs' | 'error'>
  ): Promise<AckStatus> {
    const timings = this.#timings(deviceId, frame)
    const runtime = frame.runtime ?? null
    const kind = await this.#ends.submit({
      id: frame.jobId,
      epoch: frame.epoch,
      deviceId,
      state,
      runtime,
      timings,
      ...outcome
    })
    if (kind === undefined)
      return (await findJob(this.#resources.registry.pool, frame.jobId)) === null ? 'unknown' : 'stale'
    if (timings.transportMs !== undefined) this.#resources.metrics.transportMs.observe({ kind }, timings.transportMs)
    if (frame.outputs !== undefined && timings.inferenceMs !== undefined)
      this.#resources.metrics.inferenceMs.observe({ runtime: frame.runtime ?? 'unknown' }, timings.inferenceMs)
    this.ended({ id: frame.jobId, kind, state })
    return 'accepted'
  }

  #timings(deviceId: string, frame: ResultFrame): AttemptTimings {
    const { sentAtMs, dispatchMs } =
      this.#connections.get(deviceId)?.running.get(jobKey(frame.jobId, frame.epoch)) ?? {}
    const device = frame.timings ?? {}
    // After the device connected anew nobody knows when the frame was sent.
    if (sentAtMs === undefined) return device
    const roundTripMs = this.#resources.nowMs() - sentAtMs
    return {
      ...device,
      ...(dispatchMs === undefined ? {} : { dispatchMs }),
      transportMs: Math.max(0, roundTripMs - (frame.timings?.deviceMs ?? 0))
    }
  }
}

export function outcomeOf({ error }: ResultFrame): Release['outcome'] {
  if (error === undefined) return 'succeeded'
  return error.retryable ? 'returned' : 'failed'
}

/** Headers for the row's `result`, and the inline bytes in their order. Throws when body and headers disagree. */
function storeTensors(
  tensors: readonly FrameTensor[],
  body: Uint8Array
): { stored: StoredTensor[]; inline: Uint8Array } {
  const parts = sliceTensors(tensors, body)
  const stored = tensors.map(({ name, datatype, shape, bytes, blob }) => ({
    name,
    datatype,
    shape,
    bytes,
    ...(blob === undefined ? {} : { blob })
  }))
  return { stored, inline: Buffer.concat([...parts.values()]) }
}
