import type { Job, JobQuery } from '@skerry/contracts'
import type pg from 'pg'
import { type JobRow, toJob } from './job-record.ts'
import { decodePageToken, type PageOf, toPage } from './paging.ts'

/** Newest first; the page token is the last id seen. */
export async function listJobs(pool: pg.Pool, query: JobQuery): Promise<PageOf<Omit<Job, 'outputs'>>> {
  const limit = query.limit ?? 100
  const { rows } = await pool.query<JobRow>(
    `SELECT * FROM jobs WHERE ($1::text IS NULL OR state = $1) AND ($2::text IS NULL OR kind = $2)
       AND ($3::text IS NULL OR model = $3) AND ($4::uuid IS NULL OR device_id = $4) AND ($5::uuid IS NULL OR id < $5)
     ORDER BY id DESC LIMIT $6`,
    [
      query.state ?? null,
      query.kind ?? null,
      query.model ?? null,
      query.device ?? null,
      decodePageToken(query.pageToken) ?? null,
      limit + 1
    ]
  )
  return toPage(rows, limit, (row) => row.id, toJob)
}

export async function countByState(pool: pg.Pool): Promise<{ kind: string; state: string; count: number }[]> {
  const { rows } = await pool.query<{ kind: string; state: string; count: number }>(
    `SELECT kind, state, count(*)::int AS count FROM jobs WHERE state IN ('queued', 'running') GROUP BY kind, state`
  )
  return rows
}
