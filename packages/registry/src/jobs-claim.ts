import type { JobProgress, Selector } from '@skerry/contracts'
import type pg from 'pg'
import { despiteDeadlocks } from './deadlock.ts'
import { isState, type JobRow, type JobTerms, type QueuedJob } from './job-record.ts'
import type { Fence } from './replicas.ts'

export type Claim = {
  id: string
  epoch: number
  deviceId: string
  session: number
  variant: string | null
  runtime: string | null
  leaseMs: number
}

/** What a device is to be sent of a job, and how long it had waited. */
export type ClaimedJob = Pick<JobRow, 'id' | 'epoch' | 'kind' | 'deployment' | 'payload' | 'inputs' | 'session'> & {
  queue_ms: number
}

/**
 * Gives queued jobs to devices. Only the rows that were still queued in this epoch, and not past their expiry, come back:
 * whatever BullMQ delivered twice or too late is dropped here. None at all when the caller no longer schedules: one that was
 * paused must not give out slots that its successor gives out.
 */
export async function claimJobs(pool: pg.Pool, claims: Claim[], fence: Fence): Promise<ClaimedJob[]> {
  const statement = {
    name: 'claim-jobs',
    text: `UPDATE jobs SET state = 'running', device_id = c.device_id, session = c.session, variant = c.variant,
       runtime = c.runtime, started_at = now(), lease_expires_at = now() + c.lease_ms * interval '1 millisecond',
       progress = NULL
     FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::int[])
       AS c(id, epoch, device_id, session, variant, runtime, lease_ms)
     WHERE jobs.id = c.id AND jobs.epoch = c.epoch AND ${isState('queued')} AND jobs.expires_at > now()
       AND EXISTS (SELECT FROM scheduler_leases WHERE domain = $8 AND holder = $9 AND term = $10 AND expires_at > now())
     RETURNING jobs.id, jobs.epoch, jobs.kind, jobs.deployment, jobs.payload, jobs.inputs, jobs.session,
       (extract(epoch FROM jobs.started_at - jobs.queued_at) * 1000)::float8 AS queue_ms`,
    values: [
      claims.map((c) => c.id),
      claims.map((c) => c.epoch),
      claims.map((c) => c.deviceId),
      claims.map((c) => c.session),
      claims.map((c) => c.variant),
      claims.map((c) => c.runtime),
      claims.map((c) => c.leaseMs),
      fence.domain,
      fence.holder,
      fence.term
    ]
  }
  return (await despiteDeadlocks(() => pool.query<ClaimedJob>(statement))).rows
}

/** What the scheduler needs to place a job. */
export type WaitingJob = QueuedJob & {
  kind: JobRow['kind']
  model: string | null
  deployment: string | null
  target_device_id: string | null
  selector: Selector
  terms: JobTerms
  /** When it was submitted, and when it expires: milliseconds since the epoch by Postgres's clock. */
  created_ms: number
  expires_ms: number
}

/** Of jobs that BullMQ knows by their ids alone; those that are no longer queued in that epoch are left out. */
export async function loadWaiting(pool: pg.Pool, jobs: Pick<QueuedJob, 'id' | 'epoch'>[]): Promise<WaitingJob[]> {
  if (jobs.length === 0) return []
  const { rows } = await pool.query<WaitingJob>({
    name: 'load-waiting',
    text: `SELECT jobs.id, jobs.epoch, pool, priority, kind, model, deployment, target_device_id, selector, terms,
       (extract(epoch FROM created_at) * 1000)::float8 AS created_ms,
       (extract(epoch FROM expires_at) * 1000)::float8 AS expires_ms
     FROM jobs JOIN unnest($1::uuid[], $2::int[]) AS w(id, epoch) ON jobs.id = w.id AND jobs.epoch = w.epoch
     WHERE ${isState('queued')}`,
    values: [jobs.map((job) => job.id), jobs.map((job) => job.epoch)]
  })
  return rows
}

export type RunningRef = { jobId: string; epoch: number; deviceId: string; session: number }

/**
 * Holds the leases of jobs that are known to have reached their devices, whose sessions live. A row that is being written by
 * somebody else is left alone: it ends, or moves on; to wait for it while holding others would be a deadlock now and then.
 */
export async function renewLeases(
  pool: pg.Pool,
  running: RunningRef[],
  inferenceLeaseMs: number,
  conversionLeaseMs: number
): Promise<void> {
  if (running.length === 0) return
  await pool.query(
    `UPDATE jobs SET lease_expires_at = now() + (CASE WHEN kind = 'conversion' THEN $4::int ELSE $3::int END) * interval '1 millisecond'
     WHERE id IN (SELECT jobs.id FROM jobs
       JOIN unnest($1::uuid[], $2::int[], $5::uuid[], $6::int[]) AS r(device_id, session, id, epoch)
         ON jobs.id = r.id AND jobs.epoch = r.epoch AND jobs.device_id = r.device_id AND jobs.session = r.session
       WHERE ${isState('running')} FOR NO KEY UPDATE OF jobs SKIP LOCKED)`,
    [
      running.map((r) => r.deviceId),
      running.map((r) => r.session),
      inferenceLeaseMs,
      conversionLeaseMs,
      running.map((r) => r.jobId),
      running.map((r) => r.epoch)
    ]
  )
}

/** At start nobody was heard yet: gives the devices that run jobs the time to come back before their leases end. */
export async function graceLeases(pool: pg.Pool, inferenceLeaseMs: number, conversionLeaseMs: number): Promise<void> {
  await pool.query(
    `UPDATE jobs SET lease_expires_at = greatest(lease_expires_at,
       now() + (CASE WHEN kind = 'conversion' THEN $2::int ELSE $1::int END) * interval '1 millisecond') WHERE state = 'running'`,
    [inferenceLeaseMs, conversionLeaseMs]
  )
}

export async function writeProgress(
  pool: pg.Pool,
  id: string,
  epoch: number,
  deviceId: string,
  progress: JobProgress
): Promise<void> {
  await pool.query(
    `UPDATE jobs SET progress = $4 WHERE id = $1 AND epoch = $2 AND device_id = $3 AND state = 'running'`,
    [id, epoch, deviceId, JSON.stringify(progress)]
  )
}

/** Postgres's clock, milliseconds since the epoch. */
export async function serverNowMs(pool: pg.Pool): Promise<number> {
  const text = 'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms'
  const { rows } = await pool.query<{ now_ms: number }>({ name: 'server-now', text })
  return rows[0]?.now_ms ?? Number.NaN
}
