import { SkerryError } from '@skerry/contracts'
import type pg from 'pg'
import { newId } from './ids.ts'
import type { JobRow, NewJob } from './job-record.ts'
import type { WaitingJob } from './jobs-claim.ts'

/** Few enough that one is no long step for whoever has room for a few jobs. */
const BUNDLE_SIZE = 64

/** `waiting`: the new row as `loadWaiting` would give it; null for one that was there before. */
export type Submitted = { id: string; waiting: WaitingJob | null }

/**
 * Inserts jobs in one statement. A job whose idempotency key is known is not inserted again: its row is answered, or an
 * `idempotency-mismatch` when the request was another one. Answers stand in the order of `jobs`.
 */
export async function insertJobs(pool: pg.Pool, jobs: NewJob[]): Promise<(Submitted | SkerryError)[]> {
  const bundles = bundlesOf(jobs)
  const rows = jobs.map((job, i) => ({ ...job, inputs: undefined, requestHash: undefined, bundle: bundles[i] }))
  const inserted = await pool.query<Times & { id: string }>({
    name: 'insert-jobs',
    text: `INSERT INTO jobs (id, kind, pool, priority, model, version, deployment, payload, inputs, target_device_id, selector,
       terms, max_attempts, expires_at, idempotency_key, request_hash, bundle)
     SELECT j.id, j.kind, j.pool, j.priority, j.model, j.version, j.deployment, j.payload, b.inputs, j."targetDeviceId",
       j.selector, j.terms, j."maxAttempts", now() + j."ttlMs" * interval '1 millisecond', j."idempotencyKey", b.hash, j.bundle
     FROM jsonb_to_recordset($1) AS j(id uuid, kind text, pool text, priority int, model text, version text,
       deployment text, payload jsonb, "targetDeviceId" uuid, selector jsonb, terms jsonb, "maxAttempts" int, "ttlMs" bigint,
       "idempotencyKey" text, bundle uuid)
     JOIN unnest($2::uuid[], $3::bytea[], $4::bytea[]) AS b(id, inputs, hash) ON b.id = j.id
     ON CONFLICT (idempotency_key) DO NOTHING
     RETURNING id, (extract(epoch FROM created_at) * 1000)::float8 AS created_ms,
       (extract(epoch FROM expires_at) * 1000)::float8 AS expires_ms`,
    values: [
      JSON.stringify(rows),
      jobs.map((j) => j.id),
      jobs.map((j) => bytes(j.inputs)),
      jobs.map((j) => bytes(j.requestHash))
    ]
  })
  const created = new Map(inserted.rows.map((row) => [row.id, row]))
  const known = await rowsUnder(
    pool,
    jobs.filter((job) => !created.has(job.id)).map((job) => job.idempotencyKey)
  )
  return jobs.map((job, i) => {
    const times = created.get(job.id)
    if (times !== undefined) return { id: job.id, waiting: waitingOf(job, times, bundles[i] ?? null) }
    const row = job.idempotencyKey === null ? undefined : known.get(job.idempotencyKey)
    if (row === undefined) return new SkerryError('internal', 'The job was neither stored nor found')
    if (job.requestHash === null || !row.request_hash.equals(job.requestHash))
      return new SkerryError('idempotency-mismatch')
    return { id: row.id, waiting: null }
  })
}

/** For each job the name of the bundle that it goes to BullMQ in; null for one that goes alone. */
function bundlesOf(jobs: readonly NewJob[]): (string | null)[] {
  const open = new Map<string, { name: string; members: number[] }>()
  const names: (string | null)[] = jobs.map(() => null)
  for (const [i, { pool, priority }] of jobs.entries()) {
    const key = `${priority} ${pool}`
    let bundle = open.get(key)
    if (bundle === undefined) {
      bundle = { name: newId(), members: [] }
      open.set(key, bundle)
    }
    bundle.members.push(i)
    if (bundle.members.length > 1) for (const member of bundle.members.slice(-2)) names[member] = bundle.name
    if (bundle.members.length === BUNDLE_SIZE) open.delete(key)
  }
  return names
}

type Times = Pick<WaitingJob, 'created_ms' | 'expires_ms'>

/** Field by field: for thousands a second that is half the time of spreading. */
const waitingOf = (job: NewJob, times: Times, bundle: string | null): WaitingJob => ({
  id: job.id,
  epoch: 1,
  pool: job.pool,
  priority: job.priority,
  bundle,
  kind: job.kind,
  model: job.model,
  deployment: job.deployment,
  target_device_id: job.targetDeviceId,
  selector: job.selector,
  terms: job.terms,
  created_ms: times.created_ms,
  expires_ms: times.expires_ms
})

type KnownRow = { id: string; idempotency_key: string; request_hash: Buffer }

async function rowsUnder(pool: pg.Pool, keys: (string | null)[]): Promise<Map<string, KnownRow>> {
  if (keys.length === 0) return new Map()
  const { rows } = await pool.query<KnownRow>(
    'SELECT id, idempotency_key, request_hash FROM jobs WHERE idempotency_key = ANY($1)',
    [keys]
  )
  return new Map(rows.map((row) => [row.idempotency_key, row]))
}

/** Whether a job was submitted with this key. */
export async function isKeyKnown(pool: pg.Pool, idempotencyKey: string): Promise<boolean> {
  const { rowCount } = await pool.query('SELECT 1 FROM jobs WHERE idempotency_key = $1', [idempotencyKey])
  return rowCount === 1
}

const bytes = (value: Uint8Array | null): Buffer | null =>
  value === null ? null : Buffer.from(value.buffer, value.byteOffset, value.byteLength)

export async function findJob(pool: pg.Pool, id: string): Promise<JobRow | null> {
  const { rows } = await pool.query<JobRow>('SELECT * FROM jobs WHERE id = $1', [id])
  return rows[0] ?? null
}
