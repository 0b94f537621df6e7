import { SkerryError } from '@skerry/contracts'
import type pg from 'pg'
import type { JobRow, NewJob, QueuedJob } from './job-record.ts'

export type Submitted = { id: string; created: boolean }

/**
 * Inserts jobs in one statement. A job whose idempotency key is known is not inserted again: its row is answered, or an
 * `idempotency-mismatch` when the request was another one. Answers stand in the order of `jobs`.
 */
export async function insertJobs(pool: pg.Pool, jobs: NewJob[]): Promise<(Submitted | SkerryError)[]> {
  const rows = jobs.map(({ inputs, requestHash, ...job }) => ({ ...job }))
  const inserted = await pool.query<{ id: string }>(
    `INSERT INTO jobs (id, kind, pool, priority, model, version, deployment, payload, inputs, target_device_id, selector,
       terms, max_attempts, expires_at, idempotency_key, request_hash)
     SELECT j.id, j.kind, j.pool, j.priority, j.model, j.version, j.deployment, j.payload, b.inputs, j."targetDeviceId",
       j.selector, j.terms, j."maxAttempts", now() + j."ttlMs" * interval '1 millisecond', j."idempotencyKey", b.hash
     FROM jsonb_to_recordset($1) AS j(id uuid, kind text, pool text, priority int, model text, version text,
       deployment text, payload jsonb, "targetDeviceId" uuid, selector jsonb, terms jsonb, "maxAttempts" int, "ttlMs" bigint,
       "idempotencyKey" text)
     JOIN unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS b(id, inputs, hash) ON b.id = j.id
     ON CONFLICT (idempotency_key) DO NOTHING RETURNING id`,
    [
      JSON.stringify(rows),
      jobs.map((j) => j.id),
      jobs.map((j) => bytes(j.inputs)),
      jobs.map((j) => bytes(j.requestHash))
    ]
  )
  const created = new Set(inserted.rows.map((row) => row.id))
  if (created.size === jobs.length) return jobs.map((job) => ({ id: job.id, created: true }))
  const keys = jobs.filter((job) => !created.has(job.id)).map((job) => job.idempotencyKey)
  const known = await pool.query<{ id: string; idempotency_key: string; request_hash: Buffer }>(
    'SELECT id, idempotency_key, request_hash FROM jobs WHERE idempotency_key = ANY($1)',
    [keys]
  )
  const byKey = new Map(known.rows.map((row) => [row.idempotency_key, row]))
  return jobs.map((job) => {
    if (created.has(job.id)) return { id: job.id, created: true }
    const row = job.idempotencyKey === null ? undefined : byKey.get(job.idempotencyKey)
    if (row === undefined) return new SkerryError('internal', 'The job was neither stored nor found')
    if (job.requestHash === null || !row.request_hash.equals(job.requestHash))
      return new SkerryError('idempotency-mismatch')
    return { id: row.id, created: false }
  })
}

/** Whether a job was submitted with this key. */
export async function isKeyKnown(pool: pg.Pool, idempotencyKey: string): Promise<boolean> {
  const { rowCount } = await pool.query('SELECT 1 FROM jobs WHERE idempotency_key = $1', [idempotencyKey])
  return rowCount === 1
}

const bytes = (value: Uint8Array | null): Buffer | null =>
  value === null ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength)

/** The jobs are in BullMQ now; a row that has moved on meanwhile (another epoch) keeps its empty mark. */
export async function markEnqueued(pool: pg.Pool, jobs: Pick<QueuedJob, 'id' | 'epoch'>[]): Promise<void> {
  if (jobs.length === 0) return
  await pool.query(
    `UPDATE jobs SET enqueued_at = now() FROM unnest($1::uuid[], $2::int[]) AS e(id, epoch)
     WHERE jobs.id = e.id AND jobs.epoch = e.epoch`,
    [jobs.map((job) => job.id), jobs.map((job) => job.epoch)]
  )
}

export async function findJob(pool: pg.Pool, id: string): Promise<JobRow | null> {
  const { rows } = await pool.query<JobRow>('SELECT * FROM jobs WHERE id = $1', [id])
  return rows[0] ?? null
}
