import type pg from 'pg'

export type OpenBenchmark = { deviceId: string; artifact: string; runtime: string }

/** Benchmarks on these devices that have not ended. */
export async function openBenchmarks(pool: pg.Pool, deviceIds: readonly string[]): Promise<OpenBenchmark[]> {
  const { rows } = await pool.query<OpenBenchmark>(
    `SELECT target_device_id AS "deviceId", payload ->> 'artifact' AS artifact, payload ->> 'runtime' AS runtime FROM jobs
     WHERE kind = 'benchmark' AND state IN ('queued', 'running') AND target_device_id = ANY($1::uuid[])`,
    [deviceIds]
  )
  return rows
}
