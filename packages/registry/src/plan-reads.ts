import type { Capability, DeviceState, Labels, RuntimeInfo } from '@skerry/contracts'
import type { Connection } from './connection.ts'

/** What a plan needs of a device: facts.runtimes and sizes alone, since a fleet of them is read at once. */
export type PlannableDevice = {
  id: string
  name: string
  state: DeviceState
  capabilities: Capability[]
  arch: string
  cpuModel: string
  cores: number
  memoryBytes: number
  memoryUsedBytes: number | null
  runtimes: RuntimeInfo[]
  /** Artifacts that a deployment has ready there. */
  loaded: string[]
}
/** The newest benchmark of an artifact on a device, and the least of what its process held at most. */
export type PairBenchmark = {
  artifact: string
  deviceId: string
  runtime: string
  p50Ms: number
  p95Ms: number | null
  p99Ms: number
  peakRssBytes: number | null
}
/** Benchmarks of equal devices together. */
export type KindBenchmark = {
  artifact: string
  arch: string
  cpuModel: string
  cores: number
  runtime: string
  /** Mean of the natural logarithm of the p50 in ms. */
  logP50: number
  peakRssBytes: number | null
}
export type ArtifactEstimate = { artifact: string; macs: number | null; peakMemoryBytes: number | null }
export type PairLatency = { artifact: string; deviceId: string; runtime: string; histogram: unknown }

/** What is read of the fleet and its measurements at once; each statement bounds its rows. */
export class PlanReads {
  readonly #pool: Connection['pool']
  constructor(db: Connection) {
    this.#pool = db.pool
  }

  /** Devices that carry every label, by id; `matched` counts those beyond `limit` as well, null for no bound. */
  async devices(selector: Labels, limit: number | null): Promise<{ matched: number; devices: PlannableDevice[] }> {
    const { rows } = await this.#pool.query<Omit<PlannableDevice, 'loaded'> & { matched: number; loaded: string[] }>(
      `SELECT d.id, d.name, count(*) OVER ()::int AS matched, d.capabilities,
         CASE WHEN d.draining THEN 'draining' WHEN d.cordoned THEN 'cordoned' WHEN d.connected THEN 'online'
           ELSE 'offline' END AS state,
         d.facts->>'arch' AS arch, d.facts->>'cpuModel' AS "cpuModel", (d.facts->>'cores')::float8 AS cores,
         (d.facts->>'memoryBytes')::float8 AS "memoryBytes", (d.health->>'memoryUsedBytes')::float8 AS "memoryUsedBytes",
         d.facts->'runtimes' AS runtimes,
         ARRAY(SELECT p.artifact FROM placements p
           WHERE p.device_id = d.id AND p.state = 'ready' AND p.artifact IS NOT NULL) AS loaded
       FROM devices d WHERE d.revoked_at IS NULL AND d.labels @> $1::jsonb ORDER BY d.id LIMIT $2`,
      [JSON.stringify(selector), limit]
    )
    return { matched: rows[0]?.matched ?? 0, devices: rows.map(({ matched: _, ...device }) => device) }
  }

  async pairBenchmarks(artifacts: readonly string[]): Promise<PairBenchmark[]> {
    const { rows } = await this.#pool.query<PairBenchmark>(
      `SELECT DISTINCT ON (artifact, device_id, runtime) artifact, device_id AS "deviceId", runtime,
         p50_ms AS "p50Ms", p95_ms AS "p95Ms", p99_ms AS "p99Ms",
         min(peak_rss_bytes) OVER (PARTITION BY artifact, device_id, runtime)::float8 AS "peakRssBytes"
       FROM benchmarks WHERE artifact = ANY($1) ORDER BY artifact, device_id, runtime, created_at DESC`,
      [artifacts]
    )
    return rows
  }

  async kindBenchmarks(since: Date, limit: number): Promise<KindBenchmark[]> {
    const { rows } = await this.#pool.query<KindBenchmark>(
      `SELECT b.artifact, d.facts->>'arch' AS arch, d.facts->>'cpuModel' AS "cpuModel", (d.facts->>'cores')::float8 AS cores,
         b.runtime, avg(ln(greatest(b.p50_ms, 1e-6)))::float8 AS "logP50", min(b.peak_rss_bytes)::float8 AS "peakRssBytes"
       FROM benchmarks b JOIN devices d ON d.id = b.device_id WHERE b.created_at >= $1
       GROUP BY 1, 2, 3, 4, 5 ORDER BY max(b.created_at) DESC LIMIT $2`,
      [since, limit]
    )
    return rows
  }

  async estimates(artifacts: readonly string[]): Promise<ArtifactEstimate[]> {
    const { rows } = await this.#pool.query<ArtifactEstimate>(
      `SELECT DISTINCT ON (sha256) sha256 AS artifact, (details->'estimate'->>'macs')::float8 AS macs,
         (details->'estimate'->>'peakMemoryBytes')::float8 AS "peakMemoryBytes"
       FROM variants WHERE sha256 = ANY($1) AND details->'estimate' IS NOT NULL ORDER BY sha256`,
      [artifacts]
    )
    return rows
  }

  /** What devices reported of their runs, the newest minutes first. */
  async pairLatencies(
    models: readonly string[],
    artifacts: readonly string[],
    since: Date,
    limit: number
  ): Promise<PairLatency[]> {
    const { rows } = await this.#pool.query<PairLatency>(
      `SELECT artifact, device_id AS "deviceId", runtime, histogram FROM latency_windows
       WHERE model = ANY($1) AND artifact = ANY($2) AND window_start >= $3 ORDER BY window_start DESC LIMIT $4`,
      [models, artifacts, since, limit]
    )
    return rows
  }
}
