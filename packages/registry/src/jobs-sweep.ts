import type pg from 'pg'
import type { QueuedJob } from './job-record.ts'

/** Queued rows that became so at least that long ago, a page at a time by id. */
export async function queuedAfter(
  pool: pg.Pool,
  afterId: string | null,
  limit: number,
  olderThanMs: number
): Promise<QueuedJob[]> {
  const { rows } = await pool.query<QueuedJob>(
    `SELECT id, epoch, pool, priority, CASE WHEN epoch = 1 THEN bundle END AS bundle FROM jobs
     WHERE state = 'queued' AND ($1::uuid IS NULL OR id > $1) AND queued_at <= now() - $3::int * interval '1 millisecond'
     ORDER BY id LIMIT $2`,
    [afterId, limit, olderThanMs]
  )
  return rows
}

export async function openPools(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ pool: string }>(`SELECT DISTINCT pool FROM jobs WHERE state = 'queued'`)
  return rows.map((row) => row.pool)
}

/** Deployments that are gone and still have open jobs: those came in the moment in which it was deleted. */
export async function goneWithJobs(pool: pg.Pool): Promise<string[]> {
  const { rows } = await pool.query<{ deployment: string }>(
    `SELECT DISTINCT deployment FROM jobs WHERE state IN ('queued', 'running') AND deployment IS NOT NULL
     AND NOT EXISTS (SELECT FROM deployments WHERE name = jobs.deployment)`
  )
  return rows.map((row) => row.deployment)
}

/** Tensors are kept a day after the end, rows thirty. */
export async function retire(pool: pg.Pool): Promise<{ tensors: number; rows: number }> {
  const tensors = await pool.query(
    `UPDATE jobs SET inputs = NULL, outputs = NULL WHERE ended_at < now() - interval '24 hours'
     AND (inputs IS NOT NULL OR outputs IS NOT NULL)`
  )
  const rows = await pool.query(`DELETE FROM jobs WHERE ended_at < now() - interval '30 days'`)
  await pool.query(`DELETE FROM idempotent_answers WHERE created_at < now() - interval '24 hours'`)
  return { tensors: tensors.rowCount ?? 0, rows: rows.rowCount ?? 0 }
}
