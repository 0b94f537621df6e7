import type {
  Attempt,
  Datatype,
  Explanation,
  Job,
  JobError,
  JobKind,
  JobProgress,
  JobState,
  Selector,
  Spread,
  TensorHeader
} from '@skerry/contracts'

export type StoredTensor = TensorHeader & { blob?: string }
/** `payload` of an inference job: the tensors' headers; their inline bytes lie in `inputs`, in this order. */
export type InferencePayload = { inputs: StoredTensor[]; outputs: { name: string; datatype: Datatype }[] }

/** What the scheduler goes by beside the selector; all optional, so that a row of before has none. */
export type JobTerms = {
  /** `expires_at` is a deadline that the caller set, not a time to live. */
  deadline?: true
  /** It is tried although it will be late. */
  bestEffort?: true
  /** A caller waited for it: the row was written behind its answer, without tensors. */
  synchronous?: true
  tolerations?: string[]
  spread?: Spread
}

/**
 * A condition on rows that are found by their ids. Said with `=`, it would let Postgres walk the partial index of that state
 * instead, which thousands of jobs a minute pass through: it believes it almost empty and reads what they left behind.
 */
export const isState = (state: JobState): string => `jobs.state IS NOT DISTINCT FROM '${state}'`

export type NewJob = {
  id: string
  kind: JobKind
  pool: string
  priority: number
  model: string | null
  version: string | null
  deployment: string | null
  payload: unknown
  inputs: Uint8Array | null
  targetDeviceId: string | null
  selector: Selector
  terms: JobTerms
  maxAttempts: number
  ttlMs: number
  idempotencyKey: string | null
  requestHash: Uint8Array | null
}

/**
 * A job in BullMQ: which row, and which of its lives. In its first life it goes there with others that were written with it,
 * under the name `bundle`.
 */
export type QueuedJob = { id: string; epoch: number; pool: string; priority: number; bundle?: string | null }

export type JobRow = {
  id: string
  kind: JobKind
  state: JobState
  pool: string
  priority: number
  model: string | null
  version: string | null
  deployment: string | null
  payload: unknown
  inputs: Buffer | null
  target_device_id: string | null
  selector: Selector
  terms: JobTerms
  epoch: number
  max_attempts: number
  device_id: string | null
  session: number | null
  variant: string | null
  runtime: string | null
  queued_at: Date
  started_at: Date | null
  lease_expires_at: Date | null
  attempts: Attempt[]
  runtime_kills: number
  progress: JobProgress | null
  result: unknown
  outputs: Buffer | null
  error: JobError | null
  explanation: Explanation | null
  request_hash: Buffer | null
  created_at: Date
  expires_at: Date
  ended_at: Date | null
}

/** `outputs` of an inference job's result: headers in the row's `result`, inline bytes in `outputs`. */
export type InferenceResult = { outputs: StoredTensor[] }

export const runningAttempt = (row: JobRow): Attempt[] =>
  row.state === 'running' && row.device_id !== null && row.started_at !== null
    ? [
        {
          number: row.attempts.length + 1,
          epoch: row.epoch,
          device: row.device_id,
          variant: row.variant,
          runtime: row.runtime,
          startedAt: row.started_at.toISOString(),
          endedAt: null,
          timings: {
            queueMs: row.started_at.getTime() - row.queued_at.getTime(),
            dispatchMs: 0,
            transportMs: 0,
            inferenceMs: 0
          }
        }
      ]
    : []

/** The job as callers see it, without outputs: those may lie in blobs, and reading them is not this package's. */
export const toJob = (row: JobRow): Omit<Job, 'outputs'> => ({
  id: row.id,
  kind: row.kind,
  state: row.state,
  model: row.model,
  version: row.version,
  priority: row.priority,
  attempts: [...row.attempts, ...runningAttempt(row)],
  ...(row.progress === null ? {} : { progress: row.progress }),
  ...(row.kind === 'inference' || row.result === null ? {} : { result: row.result }),
  ...(row.error === null ? {} : { error: row.error }),
  createdAt: row.created_at.toISOString(),
  expiresAt: row.expires_at.toISOString(),
  endedAt: row.ended_at?.toISOString() ?? null
})

/** As `toJob` of the row that was just written for it; times in milliseconds since the epoch. */
export const toNewJob = (job: NewJob, times: { created_ms: number; expires_ms: number }): Omit<Job, 'outputs'> => ({
  ...{ id: job.id, kind: job.kind, state: 'queued', model: job.model, version: job.version, priority: job.priority },
  attempts: [],
  createdAt: new Date(times.created_ms).toISOString(),
  expiresAt: new Date(times.expires_ms).toISOString(),
  endedAt: null
})
