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

  /** The newest p50 per artifact on this device and runtime. */
  async measuredP50(deviceId: string, runtime: string, artifacts: string[]): Promise<Map<string, number>> {
    const { rows } = await this.#db.pool.query<{ artifact: string; p50_ms: number }>(
      `SELECT DISTINCT ON (artifact) artifact, p50_ms FROM benchmarks
       WHERE device_id = $1 AND runtime = $2 AND artifact = ANY($3) ORDER BY artifact, created_at DESC`,
      [deviceId, runtime, artifacts]
    )
    return new Map(rows.map((row) => [row.artifact, row.p50_ms]))
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
