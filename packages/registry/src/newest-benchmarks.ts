import type { BenchmarkResult } from '@skerry/contracts'
import type { Connection } from './connection.ts'

type Row = { device_id: string; artifact: string; runtime: string; result: BenchmarkResult }

const keyOf = (deviceId: string, artifact: string | null, runtime: string | null): string =>
  `${deviceId} ${artifact} ${runtime}`

/** The newest benchmark of each artifact on each runtime of some devices, of those that were kept whole. */
export class NewestBenchmarks {
  readonly #results: Map<string, BenchmarkResult>

  static async read(pool: Connection['pool'], deviceIds: string[]): Promise<NewestBenchmarks> {
    const { rows } = await pool.query<Row>(
      `SELECT DISTINCT ON (p.device_id, p.artifact, p.runtime) p.device_id, p.artifact, p.runtime, b.result
       FROM placements p JOIN benchmarks b
         ON b.artifact = p.artifact AND b.device_id = p.device_id AND b.runtime = p.runtime
       WHERE p.device_id = ANY($1) AND b.result IS NOT NULL
       ORDER BY p.device_id, p.artifact, p.runtime, b.created_at DESC`,
      [deviceIds]
    )
    return new NewestBenchmarks(
      new Map(rows.map((row) => [keyOf(row.device_id, row.artifact, row.runtime), row.result]))
    )
  }

  private constructor(results: Map<string, BenchmarkResult>) {
    this.#results = results
  }

  of(
    deviceId: string,
    { artifact, runtime }: { artifact: string | null; runtime: string | null }
  ): { benchmark?: BenchmarkResult } {
    const benchmark = this.#results.get(keyOf(deviceId, artifact, runtime))
    return benchmark === undefined ? {} : { benchmark }
  }
}
