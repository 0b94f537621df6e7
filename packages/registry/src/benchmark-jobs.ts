import type pg from 'pg'

/** How the newest benchmark of an artifact on a device's runtime stands: under way, or failed for this reason. */
export type BenchmarkJob = { deviceId: string; artifact: string; runtime: string; failure: string | null }

/**
 * Of these devices, benchmarks that are under way and those that failed within a day, each unless a newer one of its
 * artifact and runtime was asked for. A failure because the deployment was deleted says nothing of the artifact.
 */
export async function benchmarkJobs(pool: pg.Pool, deviceIds: readonly string[]): Promise<BenchmarkJob[]> {
  const { rows } = await pool.query<BenchmarkJob>(
    `SELECT "deviceId", artifact, runtime, CASE WHEN state = 'failed' THEN coalesce(error ->> 'message', 'unknown') END AS failure
     FROM (
       SELECT DISTINCT ON (target_device_id, payload ->> 'artifact', payload ->> 'runtime') target_device_id AS "deviceId",
         payload ->> 'artifact' AS artifact, payload ->> 'runtime' AS runtime, state, error, ended_at
       FROM jobs WHERE kind = 'benchmark' AND target_device_id = ANY($1::uuid[])
       ORDER BY target_device_id, payload ->> 'artifact', payload ->> 'runtime', id DESC
     ) newest
     WHERE state IN ('queued', 'running')
       OR (state = 'failed' AND ended_at > now() - interval '1 day' AND error ->> 'code' IS DISTINCT FROM 'deployment-deleted')`,
    [deviceIds]
  )
  return rows
}
