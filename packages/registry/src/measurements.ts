import type { BenchmarkResult } from '@skerry/contracts'
import type { Connection } from './connection.ts'
import { newId } from './ids.ts'

export type LatencySeries = {
  deployment: string
  artifact: string
  runtime: string
  model: string
  variant: string
  /** A histogram in packages/telemetry's JSON form; this package only stores it. */
  histogram: unknown
}

export type MeasuredPair = { deviceId: string; runtime: string; artifact: string; p50Ms: number; runs: number }

/** What devices were measured to do: benchmarks, and latency histograms by minute. */
export class MeasurementRegistry {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  /** Once per `id`. */
  async storeBenchmark(deviceId: string, result: BenchmarkResult, id: string = newId()): Promise<void> {
    const { artifact, runtime, runs, initMs, firstMs, p50Ms, p95Ms = null, p99Ms, peakRssBytes = null } = result
    await this.#db.prisma.benchmark.createMany({
      data: { id, deviceId, artifact, runtime, runs, initMs, firstMs, p50Ms, p95Ms, p99Ms, peakRssBytes, result },
      skipDuplicates: true
    })
  }

  /** The newest p50, with how many runs it is of, of each of these artifacts on each of these devices, by runtime. */
  async measuredP50(deviceIds: readonly string[], artifacts: readonly string[]): Promise<MeasuredPair[]> {
    if (deviceIds.length === 0 || artifacts.length === 0) return []
    const { rows } = await this.#db.pool.query<MeasuredPair>(
      `SELECT DISTINCT ON (artifact, device_id, runtime) device_id AS "deviceId", runtime, artifact, p50_ms AS "p50Ms", runs
       FROM benchmarks WHERE device_id = ANY($1::uuid[]) AND artifact = ANY($2)
       ORDER BY artifact, device_id, runtime, created_at DESC`,
      [deviceIds, artifacts]
    )
    return rows
  }

  /**
   * Adds a device's counts, once per `seq`: false when that frame was counted before.
   * `merge` adds two histograms; the row is locked while it runs.
   */
  async addLatency(
    deviceId: string,
    seq: number,
    windowStart: Date,
    series: LatencySeries[],
    merge: (stored: unknown, added: unknown) => unknown
  ): Promise<boolean> {
    const client = await this.#db.pool.connect()
    try {
      await client.query('BEGIN')
      const fresh = await client.query('UPDATE devices SET latency_seq = $2 WHERE id = $1 AND latency_seq < $2', [
        deviceId,
        seq
      ])
      if (fresh.rowCount === 1)
        for (const item of series) {
          const key = [windowStart, deviceId, item.deployment, item.artifact, item.runtime]
          const stored = await client.query<{ histogram: unknown }>(
            `SELECT histogram FROM latency_windows WHERE window_start = $1 AND device_id = $2 AND deployment = $3
               AND artifact = $4 AND runtime = $5 FOR UPDATE`,
            key
          )
          const before = stored.rows[0]
          const histogram = JSON.stringify(
            before === undefined ? item.histogram : merge(before.histogram, item.histogram)
          )
          await client.query(
            `INSERT INTO latency_windows (window_start, device_id, deployment, artifact, runtime, model, variant, histogram)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (window_start, device_id, deployment, artifact, runtime) DO UPDATE SET histogram = $8`,
            [...key, item.model, item.variant, histogram]
          )
        }
      await client.query('COMMIT')
      return fresh.rowCount === 1
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }

  async latencyWindows(filter: {
    model?: string | undefined
    variant?: string | undefined
    deviceId?: string | undefined
    since: Date
  }): Promise<unknown[]> {
    const rows = await this.#db.prisma.latencyWindow.findMany({
      where: {
        windowStart: { gte: filter.since },
        ...(filter.model === undefined ? {} : { modelName: filter.model }),
        ...(filter.variant === undefined ? {} : { variant: filter.variant }),
        ...(filter.deviceId === undefined ? {} : { deviceId: filter.deviceId })
      },
      select: { histogram: true }
    })
    return rows.map((row) => row.histogram)
  }
}
