import type { ConversionResult } from '@skerry/contracts'
import type { Connection } from './connection.ts'

/** A conversion by one recipe, under the hash of all that decides its result. */
export type KnownConversion = { key: string; stamp: string; result: ConversionResult }

/** What was converted and proven before, so that it is not done twice. */
export class KnownConversions {
  readonly #db: Connection
  constructor(db: Connection) {
    this.#db = db
  }

  /** Stamps of the converters that devices here have (DeviceFacts.converterStamp). */
  async stamps(): Promise<string[]> {
    const { rows } = await this.#db.pool.query<{ stamp: string }>(
      `SELECT DISTINCT facts->>'converterStamp' AS stamp FROM devices
       WHERE 'convert' = ANY(capabilities) AND revoked_at IS NULL AND facts ? 'converterStamp'`
    )
    return rows.map(({ stamp }) => stamp)
  }

  async find(keys: readonly string[]): Promise<KnownConversion[]> {
    const { rows } = await this.#db.pool.query<KnownConversion>(
      'SELECT key, stamp, result FROM known_conversions WHERE key = ANY($1)',
      [keys]
    )
    return rows
  }

  /** The newest answer counts. */
  async store(known: readonly KnownConversion[]): Promise<void> {
    await this.#db.pool.query(
      `INSERT INTO known_conversions (key, stamp, result)
       SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[])
       ON CONFLICT (key) DO UPDATE SET result = excluded.result, created_at = now()`,
      [known.map(({ key }) => key), known.map(({ stamp }) => stamp), known.map(({ result }) => JSON.stringify(result))]
    )
  }
}
