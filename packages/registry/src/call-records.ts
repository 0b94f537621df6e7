import type { Attempt, JobError, JobState } from '@skerry/contracts'
import type pg from 'pg'
import type { InferencePayload, JobTerms } from './job-record.ts'

/** A synchronous inference that has ended. Times by the clock of the replica that answered, milliseconds since the epoch. */
export type CallRecord = {
  id: string
  epoch: number
  state: Exclude<JobState, 'queued' | 'running'>
  pool: string
  priority: number
  model: string
  version: string
  deployment: string
  payload: InferencePayload
  terms: JobTerms
  attempts: Attempt[]
  error: JobError | null
  createdAtMs: number
  expiresAtMs: number
  endedAtMs: number
}

/** Without tensors. What is there already stays as it is. */
export async function insertCallRecords(pool: pg.Pool, records: CallRecord[]): Promise<void> {
  const rows = records.map((record) => {
    const last = record.attempts.at(-1)
    return { ...record, device: last?.device, variant: last?.variant, runtime: last?.runtime, started: last?.startedAt }
  })
  await pool.query(
    `INSERT INTO jobs (id, kind, state, pool, priority, model, version, deployment, payload, terms, epoch, max_attempts,
       device_id, variant, runtime, attempts, error, created_at, queued_at, started_at, expires_at, ended_at)
     SELECT id, 'inference', state, pool, priority, model, version, deployment, payload, terms, epoch, epoch,
       device, variant, runtime, attempts, error, to_timestamp("createdAtMs" / 1000), to_timestamp("createdAtMs" / 1000),
       started, to_timestamp("expiresAtMs" / 1000), to_timestamp("endedAtMs" / 1000)
     FROM jsonb_to_recordset($1) AS r(id uuid, state text, pool text, priority int, model text, version text,
       deployment text, payload jsonb, terms jsonb, epoch int, device uuid, variant text, runtime text, attempts jsonb,
       error jsonb, started timestamptz, "createdAtMs" float8, "expiresAtMs" float8, "endedAtMs" float8)
     ON CONFLICT DO NOTHING`,
    [JSON.stringify(rows)]
  )
}
