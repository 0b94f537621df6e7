import type { Explanation, JobError, JobKind, JobState } from '@skerry/contracts'
import type pg from 'pg'
import { despiteDeadlocks } from './deadlock.ts'
import { isState, type QueuedJob } from './job-record.ts'

/** Milliseconds that only the control plane knows of the attempt that ends; queueMs is the row's own. */
export type AttemptTimings = {
  dispatchMs?: number
  transportMs?: number
  inferenceMs?: number
  quantizeMs?: number
  dequantizeMs?: number
  deviceMs?: number
}

export type JobEnd = {
  id: string
  epoch: number
  /** Only the device that runs the job may end it. */
  deviceId: string
  state: Exclude<JobState, 'queued' | 'running'>
  runtime: string | null
  timings: AttemptTimings
  result: unknown
  outputs: Uint8Array | null
  error: JobError | null
}

const ISO = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`
/** The attempt that ends now, as it is kept in `attempts`. `timings` and `error` are expressions of type jsonb. */
const attemptJson = (timings: string, error: string, runtime: string) => `jsonb_build_array(jsonb_strip_nulls(
  jsonb_build_object('number', jsonb_array_length(jobs.attempts) + 1, 'epoch', jobs.epoch, 'device', jobs.device_id,
    'runtime', coalesce(${runtime}, jobs.runtime),
    'startedAt', to_char(jobs.started_at AT TIME ZONE 'UTC', ${ISO}), 'endedAt', to_char(now() AT TIME ZONE 'UTC', ${ISO}),
    'timings', jsonb_build_object('queueMs', round(extract(epoch FROM jobs.started_at - jobs.queued_at) * 1000, 3),
      'dispatchMs', 0, 'transportMs', 0, 'inferenceMs', 0) || ${timings},
    'error', ${error})) || jsonb_build_object('variant', jobs.variant))`

/**
 * Ends running jobs, in one statement. The jobs that were running in that epoch come back, with their kind: any other result
 * is stale, and changes nothing.
 */
export async function endJobs(pool: pg.Pool, ends: JobEnd[]): Promise<Map<string, JobKind>> {
  const statement = {
    name: 'end-jobs',
    text: `UPDATE jobs SET state = e.state, ended_at = now(), runtime = coalesce(e.runtime, jobs.runtime), result = e.result,
       outputs = e.outputs, error = e.error, lease_expires_at = NULL, attempts = jobs.attempts || ${attemptJson('e.timings', 'e.error', 'e.runtime')}
     FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[], $7::bytea[], $8::jsonb[],
       $9::uuid[]) AS e(id, epoch, state, runtime, timings, result, outputs, error, device_id)
     WHERE jobs.id = e.id AND jobs.epoch = e.epoch AND jobs.device_id = e.device_id AND ${isState('running')}
     RETURNING jobs.id, jobs.kind`,
    values: [
      ends.map((e) => e.id),
      ends.map((e) => e.epoch),
      ends.map((e) => e.state),
      ends.map((e) => e.runtime),
      ends.map((e) => JSON.stringify(e.timings)),
      ends.map((e) => (e.result === null ? null : JSON.stringify(e.result))),
      ends.map((e) => (e.outputs === null ? null : Buffer.from(e.outputs))),
      ends.map((e) => (e.error === null ? null : JSON.stringify(e.error))),
      ends.map((e) => e.deviceId)
    ]
  }
  const { rows } = await despiteDeadlocks(() => pool.query<{ id: string; kind: JobKind }>(statement))
  return new Map(rows.map((row) => [row.id, row.kind]))
}

export type Requeue = { id: string; epoch: number; deviceId: string; error: JobError; killedRuntime: boolean }
export type Requeued = (QueuedJob & { state: 'queued' }) | { id: string; state: 'failed'; error: JobError }

/** A job that killed two runtimes is quarantined; the next device does not deserve it. */
export const MAX_RUNTIME_KILLS = 2

/**
 * Gives a running job back with the next epoch, or fails it when its attempts are used up or it killed two runtimes.
 * Null when the row had moved on.
 */
export async function requeueJob(pool: pg.Pool, requeue: Requeue): Promise<Requeued | null> {
  const kills = requeue.killedRuntime ? 1 : 0
  const { rows } = await pool.query<QueuedJob & { state: 'queued' | 'failed'; error: JobError }>(
    `UPDATE jobs SET
       attempts = jobs.attempts || ${attemptJson(`'{}'::jsonb`, '$3::jsonb', 'NULL')},
       runtime_kills = runtime_kills + $4, lease_expires_at = NULL, progress = NULL,
       state = CASE WHEN done THEN 'failed' ELSE 'queued' END,
       epoch = CASE WHEN done THEN jobs.epoch ELSE jobs.epoch + 1 END,
       ended_at = CASE WHEN done THEN now() END,
       queued_at = CASE WHEN done THEN queued_at ELSE now() END,
       device_id = CASE WHEN done THEN device_id END, session = CASE WHEN done THEN session END,
       variant = CASE WHEN done THEN variant END, runtime = CASE WHEN done THEN runtime END,
       error = CASE WHEN killed THEN jsonb_build_object('code', 'model-quarantined', 'message',
           'The job ended two runtimes and is not tried again: ' || ($3::jsonb ->> 'message'))
         WHEN spent AND max_attempts > 1 THEN jsonb_build_object('code', 'attempts-exhausted', 'message',
           'All ' || max_attempts || ' attempts failed, the last one: ' || ($3::jsonb ->> 'message'), 'detail', $3::jsonb ->> 'code')
         WHEN spent THEN $3::jsonb END
     FROM (SELECT id AS jid, jsonb_array_length(attempts) + 1 >= max_attempts AS spent, runtime_kills + $4 >= $5 AS killed,
         jsonb_array_length(attempts) + 1 >= max_attempts OR runtime_kills + $4 >= $5 AS done
       FROM jobs WHERE id = $1 AND epoch = $2 AND device_id = $6 AND state = 'running' FOR UPDATE) AS before
     WHERE jobs.id = before.jid
     RETURNING jobs.id, jobs.epoch, jobs.pool, jobs.priority, jobs.state, jobs.error`,
    [requeue.id, requeue.epoch, JSON.stringify(requeue.error), kills, MAX_RUNTIME_KILLS, requeue.deviceId]
  )
  return rows[0] ?? null
}

export type EndedEarly = {
  id: string
  epoch: number
  pool: string
  priority: number
  device_id: string | null
  was_running: boolean
  kind: string
}

/** Cancels a job whatever it does now; null when it had ended. */
export async function cancelJob(pool: pg.Pool, id: string): Promise<EndedEarly | null> {
  const error: JobError = { code: 'cancelled', message: 'Cancelled by a caller' }
  return (await endEarly(pool, 'cancelled', error, 'jobs.id = $3', [id]))[0] ?? null
}

/** Ends what is past its deadline or time to live, by the database's clock. */
export async function expireJobs(pool: pg.Pool): Promise<EndedEarly[]> {
  const error: JobError = { code: 'expired', message: 'The deadline or time to live passed before the job ended' }
  return endEarly(pool, 'expired', error, 'jobs.expires_at <= now()', [])
}

export async function writeExplanation(pool: pg.Pool, id: string, explanation: Explanation): Promise<void> {
  await pool.query('UPDATE jobs SET explanation = $2 WHERE id = $1', [id, JSON.stringify(explanation)])
}

/** Fails every open job of a deployment that is gone. */
export async function failDeployment(pool: pg.Pool, deployment: string): Promise<EndedEarly[]> {
  const error: JobError = { code: 'deployment-deleted', message: `Deployment ${deployment} was deleted` }
  return endEarly(pool, 'failed', error, 'jobs.deployment = $3', [deployment])
}

async function endEarly(
  pool: pg.Pool,
  state: JobState,
  error: JobError,
  where: string,
  values: unknown[]
): Promise<EndedEarly[]> {
  const text = `UPDATE jobs SET state = $1, error = $2, ended_at = now(), lease_expires_at = NULL,
       attempts = CASE WHEN before.state = 'running' THEN jobs.attempts || ${attemptJson(`'{}'::jsonb`, '$2::jsonb', 'NULL')}
         ELSE jobs.attempts END
     FROM (SELECT id AS jid, state FROM jobs WHERE state IN ('queued', 'running') AND ${where}
       ORDER BY id FOR UPDATE) AS before
     WHERE jobs.id = before.jid
     RETURNING jobs.id, jobs.epoch, jobs.pool, jobs.priority, jobs.device_id, jobs.kind, before.state = 'running' AS was_running`
  const all = [state, JSON.stringify(error), ...values]
  return (await despiteDeadlocks(() => pool.query<EndedEarly>(text, all))).rows
}

/** Running jobs whose device went silent past their lease. */
export async function leaseExpired(
  pool: pg.Pool
): Promise<{ id: string; epoch: number; device_id: string; kind: string }[]> {
  const { rows } = await pool.query(
    `SELECT id, epoch, device_id, kind FROM jobs WHERE state = 'running' AND lease_expires_at <= now() LIMIT 1000`
  )
  return rows
}
